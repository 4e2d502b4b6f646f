package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// inject checks which credentials a route sends, and where.
func (k *checker) inject(at string, r *Route) {
	path := at + ".inject"
	known := sortedKeys(k.c.Credentials)
	taken := make(map[string]string)
	for i, name := range r.Inject {
		c, ok := k.c.Credentials[name]
		if !ok {
			k.unknownName(item(path, i), name, "credential", "credentials", known)
			continue
		}
		if k.failed("credentials." + name) {
			continue
		}
		place := "header " + fold(c.Header)
		switch {
		case c.Query != "":
			place = "query " + c.Query
		case c.Cookie != "":
			place = "cookie " + c.Cookie
		}
		if other := taken[place]; other != "" {
			k.fail(item(path, i), fmt.Sprintf("the credentials %s and %s go to the same place", quote(other), quote(name)), "keep one, or give one another header, query or cookie")
		}
		taken[place] = name
		if r.KeepAuthorization && fold(c.Header) == "authorization" {
			k.fail(at+".keep_authorization", "keep_authorization cannot stand beside a credential that goes into Authorization", "remove one of them")
		}
		k.bound(item(path, i), name, c, r.Upstream.URLs)
		if c.Type == "token_exchange" {
			k.exchangeable(item(path, i), name, r.Auth)
		}
	}
}

// exchangeable checks that every caller of a route has a token to exchange.
func (k *checker) exchangeable(at, name string, a Auth) {
	for _, other := range []struct {
		accepted bool
		who      string
	}{
		{a.Public, "is public"},
		{len(a.APIKeys) > 0, "accepts API keys"},
		{a.ClientCertificates, "accepts client certificates"},
	} {
		if other.accepted {
			k.fail(at, fmt.Sprintf("the credential %s is had for the caller's token, and the route %s", quote(name), other.who), "use it on a route that accepts tokens alone")
			return
		}
	}
}

// bound checks that a credential goes to no host but those it is meant for.
func (k *checker) bound(at, name string, c Credential, urls Strings) {
	if len(c.Hosts) == 0 {
		return
	}
	for _, raw := range urls {
		u, ok := parseURL(raw)
		if !ok {
			continue
		}
		to := hostPort(u)
		host, port, _ := splitPort(to)
		if !slices.Contains(c.Hosts, to) && !(slices.Contains(c.Hosts, host) && port == defaultPort(u.Scheme)) {
			k.fail(at, fmt.Sprintf("the credential %s may not be sent to %s", quote(name), k.show(at, to)), "its hosts are "+k.show("credentials."+name+".hosts", strings.Join(c.Hosts, ", ")))
		}
	}
}

// headers checks the fields a route sets and removes.
func (k *checker) headers(at string, r *Route) {
	set := make(map[string]string) // what sets it, by folded name
	for _, name := range r.Inject {
		if c, ok := k.c.Credentials[name]; ok && c.Header != "" {
			set[fold(c.Header)] = "the credential " + quote(name)
		} else if ok && c.Cookie != "" {
			set["cookie"] = "the credential " + quote(name)
		}
	}
	for _, name := range sortedKeys(r.Forward) {
		path := at + ".forward." + shortKey(name)
		k.setHeader(path, name, "forward", set)
		if r.Forward[name] == "" && !k.failed(path) {
			k.fail(path, "the header "+quote(name)+" has no claim to hold", "write one, as in X-User: sub")
		}
	}
	edit := at + ".request_headers"
	for _, name := range sortedKeys(r.RequestHeaders.Set) {
		k.setHeader(edit+".set."+shortKey(name), name, "request_headers.set", set)
		k.headerValue(edit+".set."+shortKey(name), r.RequestHeaders.Set[name])
	}
	k.removedHeaders(edit+".remove", r.RequestHeaders)
	edit = at + ".response_headers"
	for _, name := range sortedKeys(r.ResponseHeaders.Set) {
		path, why := edit+".set."+shortKey(name), reserved(name)
		switch {
		case !isToken(name):
			k.fail(path, "expected the name of a header, got "+quote(name), "")
		case why != "" && fold(name) != "x-request-id" && !strings.HasPrefix(fold(name), "x-forwarded-"):
			k.fail(path, "the header "+quote(name)+" "+why, "remove it")
		}
		k.headerValue(path, r.ResponseHeaders.Set[name])
	}
	k.removedHeaders(edit+".remove", r.ResponseHeaders)
}

// setHeader checks a field that a route sets on requests, and that nothing else
// sets it under a name the upstream may take for the same.
func (k *checker) setHeader(path, name, by string, set map[string]string) {
	folded := fold(name)
	switch why := reserved(name); {
	case !isToken(name):
		k.fail(path, "expected the name of a header, got "+quote(name), "")
	case folded == "authorization":
		k.fail(path, "Authorization holds credentials only", "use a credential and inject")
	case why != "":
		k.fail(path, "the header "+quote(name)+" "+why, "use another one")
	case set[folded] != "":
		k.fail(path, "the header "+quote(name)+" is also set by "+set[folded], "keep one of them; names are compared with everything but letters and digits as -")
	}
	set[folded] = by
}

func (k *checker) headerValue(path, value string) {
	if !isFieldValue(value) {
		k.fail(path, "the header's value holds a control character", "remove it")
	}
}

func (k *checker) removedHeaders(path string, edit HeaderEdit) {
	for i, name := range edit.Remove {
		at := item(path, i)
		if !isToken(name) {
			k.fail(at, "expected the name of a header, got "+k.show(at, name), "")
			continue
		}
		for set := range edit.Set {
			if fold(set) == fold(name) {
				k.fail(at, "the header "+k.show(at, name)+" is both set and removed", "keep one of them")
				break
			}
		}
	}
}

// upstream checks where a route's requests go.
func (k *checker) upstream(at string, r *Route, segments []segment) {
	u, path := &r.Upstream, at+".upstream"
	if k.skip(path) || !k.written(path) {
		return
	}
	if len(u.URLs) == 0 && !k.failed(path+".urls") && !k.failed(path) {
		k.fail(path, "the upstream has no urls", "write at least one")
	}
	secure := false
	for i, raw := range u.URLs {
		at := item(path+".urls", i)
		if k.marks[path+".urls"] == nil { // a URL in the block's place
			at = path
		}
		secure = k.upstreamURL(at, raw) || secure
	}
	if u.TLS != (UpstreamTLS{}) && !secure && !k.failed(path) {
		k.fail(path+".tls", "tls is set, but no URL of the upstream is https", "write https URLs, or remove tls")
	}
	k.clientTLS(path+".tls", u.TLS.CertFile, u.TLS.KeyFile)
	if u.Host != "upstream" && u.Host != "preserve" && !k.failed(path+".host") {
		if host, port, ok := splitPort(u.Host); !ok || port == "0" || !isHost(strings.TrimSuffix(host, ".")) {
			k.fail(path+".host", "expected upstream, preserve or a host such as legacy.example.com, got "+k.show(path+".host", u.Host), "")
		}
	}
	u.AddPrefix = k.prefix(path+".add_prefix", u.AddPrefix)
	u.StripPrefix = k.prefix(path+".strip_prefix", u.StripPrefix)
	if segments != nil && u.StripPrefix != "" && !k.failed(path+".strip_prefix") && !beginsWith(literal(segments), u.StripPrefix) {
		k.fail(path+".strip_prefix", "strip_prefix "+k.show(path+".strip_prefix", u.StripPrefix)+" is not how every path of this route begins", "the route's path is "+k.show(at+".path", r.Path))
	}
}

// beginsWith reports whether prefix is the first of segments, whole ones.
func beginsWith(segments []string, prefix string) bool {
	parts := strings.Split(prefix[1:], "/")
	return len(parts) <= len(segments) && slices.Equal(parts, segments[:len(parts)])
}

// upstreamURL checks one URL of an upstream and reports whether it is https.
func (k *checker) upstreamURL(at, raw string) bool {
	u, ok := parseURL(raw)
	switch {
	case !ok:
		k.fail(at, "expected a URL such as http://legacy:8080, got "+k.showURL(at, raw), "")
		return false
	case u.User != nil:
		k.fail(at, "the URL holds a user name or password", "use a credential and inject")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		k.fail(at, "the URL holds a query or a fragment", "remove what begins with ? or #")
	case dotted(u):
		k.fail(at, "the URL's path holds . or .. as a segment", "write the path without")
	}
	return u.Scheme == "https"
}

func dotted(u *url.URL) bool {
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// prefix checks a part of a path that is cut off or put before, and returns it
// without a final slash.
func (k *checker) prefix(path, text string) string {
	if text == "" || k.failed(path) {
		return text
	}
	trimmed := strings.TrimSuffix(text, "/")
	segments, problem, advice := parsePath(text)
	switch {
	case text[0] != '/':
		k.fail(path, "a prefix begins with /, got "+k.show(path, text), "write it as in /orders")
	case problem != "":
		k.fail(path, problem+", got "+k.show(path, text), advice)
	case len(literal(segments)) != len(segments):
		k.fail(path, "a prefix has no parameters and no *, got "+k.show(path, text), "write it out")
	}
	return trimmed
}
