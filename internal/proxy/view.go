package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/policy"
)

// Why a policy cannot be asked. Callers are told only that the request is
// ambiguous.
var (
	errViewHeader = errors.New("a header the policy reads is not UTF-8, or came under two names that fold alike")
	errViewQuery  = errors.New("the query the policy reads is broken, too long, or has a parameter twice or under two names")
	errViewParams = errors.New("a path parameter the policy reads is not UTF-8, or holds a semicolon")
)

// maxParameters bounds the parameters of a query that a policy reads.
const maxParameters = 500

// allow asks the route's policy about the request as a whole.
func (x *exchange) allow() error {
	view, err := x.view()
	if err != nil {
		return err
	}
	return x.route.Policy.Allow(x.principal, view)
}

// view is what the policy of x's route may ask of the request. It is what the
// upstream will see, under every reading an upstream is known to have; where two
// of them differ in what the policy reads, there is none.
func (x *exchange) view() (*policy.Request, error) {
	reads := x.route.Policy.Reads()
	r := &policy.Request{Method: x.method, Path: x.at.path, Host: x.hostname, IP: x.client.String()}
	var err error
	if r.Headers, err = x.viewHeaders(reads.Headers); err != nil {
		return nil, badRequest("ambiguous_header", "a header is ambiguous", err)
	}
	if r.Query, err = viewQuery(x.route.query(x.at.query), reads); err != nil {
		return nil, badRequest("ambiguous_query", "the query is ambiguous", err)
	}
	if r.Params, err = x.viewParams(reads.Params); err != nil {
		return nil, badRequest("ambiguous_path", "the path is ambiguous", err)
	}
	return r, nil
}

// foldedHeaders are the header fields that p asks for by name, as fold has them.
func foldedHeaders(p *policy.Policy) map[string]bool {
	folded := make(map[string]bool)
	for _, name := range p.Reads().Headers.Names {
		folded[fold(name)] = true
	}
	return folded
}

// viewHeaders are the fields named that go upstream as the caller's own, by
// lower-case name, several of one name joined by commas (RFC 9110, section 5.3).
func (x *exchange) viewHeaders(wanted policy.Names) (map[string]string, error) {
	if wanted.None() {
		return nil, nil
	}
	view, folded := make(map[string]string), make(map[string]string)
	for name, values := range x.fields.All() {
		key := fold(name)
		if !wanted.All && !x.route.read[key] || x.route.cleaner.drops(name, x.trusted) || x.hopByHop(name) {
			continue
		}
		stripped := http.Header{name: slices.Clone(values)}
		if x.route.header(stripped); len(stripped[name]) == 0 {
			continue
		}
		value, own := strings.Join(stripped[name], ","), strings.ToLower(name)
		if other, twice := folded[key]; twice && other != own || !utf8.ValidString(value) || !wanted.All && !wanted.Has(own) {
			return nil, errViewHeader
		}
		folded[key], view[own] = own, value
	}
	return view, nil
}

// hopByHop reports whether the caller named the field in Connection, so that it
// ends here (RFC 9110, section 7.6.1).
func (x *exchange) hopByHop(name string) bool {
	for _, value := range x.fields.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), name) {
				return true
			}
		}
	}
	return false
}

// viewQuery is a query's parameters, decoded (application/x-www-form-urlencoded).
func viewQuery(query string, reads policy.Reads) (map[string][]string, error) {
	if reads.Query.None() {
		return nil, nil
	}
	if strings.Count(query, "&") >= maxParameters {
		return nil, errViewQuery
	}
	view, err := url.ParseQuery(query)
	if err != nil {
		return nil, errViewQuery
	}
	folded := make(map[string]string)
	for _, name := range reads.Query.Names {
		folded[foldParameter(name)] = name
	}
	for name, values := range view {
		if !utf8.ValidString(name) || reads.Single.Has(name) && len(values) > 1 {
			return nil, errViewQuery
		}
		for _, value := range values {
			if !utf8.ValidString(value) {
				return nil, errViewQuery
			}
		}
		key := foldParameter(name)
		other, taken := folded[key]
		if taken && other != name {
			return nil, errViewQuery
		}
		if reads.Query.All {
			folded[key] = name
		}
	}
	return view, nil
}

// foldParameter returns the name of a query parameter as the most careless
// upstream has it: without case (ASP.NET), without an index, with dots and spaces
// as underscores (PHP).
func foldParameter(name string) string {
	name = strings.TrimLeft(name, " ")
	name, _, _ = strings.Cut(name, "[")
	name, _, _ = strings.Cut(name, "\x00")
	return strings.ToLower(underscored.Replace(name))
}

// viewParams are the parameters of the route's path, decoded once, as the
// upstream will decode them. A semicolon would end the segment for some (RFC 3986,
// section 3.3), so that there is none.
func (x *exchange) viewParams(wanted policy.Names) (map[string]string, error) {
	if wanted.None() {
		return nil, nil
	}
	view := make(map[string]string, len(x.params))
	for i, name := range x.route.params {
		if i >= len(x.params) || !wanted.Has(name) {
			continue
		}
		value, err := url.PathUnescape(x.params[i])
		if err != nil || !utf8.ValidString(value) || strings.Contains(value, ";") {
			return nil, errViewParams
		}
		view[name] = value
	}
	return view, nil
}
