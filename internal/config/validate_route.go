package config

import (
	"fmt"
	"slices"
	"strings"
)

// clash is what no two routes may share.
type clash struct{ host, shape, method string }

// standardMethods are those of a route that names none.
var standardMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (k *checker) routes() {
	named, taken := make(map[string]int), make(map[clash]int)
	for i := range k.c.Routes {
		at, r := item("routes", i), &k.c.Routes[i]
		if k.skip(at) && !k.nearest(at).unsupported {
			continue
		}
		if before, twice := named[r.Name]; twice && r.Name != "" {
			line, _ := k.place(item("routes", before))
			k.fail(at+".name", fmt.Sprintf("two routes are named %s", k.show(at+".name", r.Name)), fmt.Sprintf("give each its own name; the first is on line %d", line))
		} else {
			named[r.Name] = i
		}
		if r.Name != "" && !isName(r.Name, 64) {
			k.fail(at+".name", "a route's name cannot be "+k.show(at+".name", r.Name), "use letters, digits, dots, _ and -, at most 64")
		}
		k.hosts(at+".hosts", r.Hosts)
		k.methods(at+".methods", r.Methods)
		segments := k.path(at+".path", r.Path)
		k.auth(at, r)
		k.rateLimits(at, r)
		k.headers(at, r)
		k.inject(at, r)
		k.upstream(at, r, segments)
		if segments != nil && !k.failed(at+".hosts") && !k.failed(at+".methods") {
			k.unique(i, r, shape(segments), taken)
		}
	}
}

// hosts checks the hosts of a route and brings them into one form.
func (k *checker) hosts(path string, hosts Strings) {
	for i, text := range hosts {
		at := item(path, i)
		host := canonical(text)
		bare := strings.TrimPrefix(host, "*.")
		switch _, port, ok := splitPort(bare); {
		case text == "*":
			k.fail(at, "a * alone is no host", "leave out hosts for any")
		case ok && port != "":
			k.fail(at, "a route's host has no port, got "+k.show(at, text), "remove it; hosts are compared without")
		case strings.Contains(bare, "*"):
			k.fail(at, "a * can only be the first label of a host, got "+k.show(at, text), "write it as in *.example.com")
		case !isHost(bare):
			k.fail(at, "expected a host such as orders.example.com, got "+k.show(at, text), "")
		}
		hosts[i] = host
	}
}

func (k *checker) methods(path string, methods Strings) {
	for i, method := range methods {
		switch at := item(path, i); {
		case !isToken(method):
			k.fail(at, "expected a method such as GET, got "+k.show(at, method), "")
		case method != strings.ToUpper(method):
			k.fail(at, "methods are written in capitals, got "+k.show(at, method), "write "+k.show(at, strings.ToUpper(method)))
		case method == "CONNECT" || method == "TRACE":
			k.fail(at, method+" is never served", "remove it")
		}
	}
}

func (k *checker) path(path, text string) []segment {
	if text == "" || k.failed(path) {
		return nil
	}
	segments, problem, advice := parsePath(text)
	if problem != "" {
		k.fail(path, problem+", got "+k.show(path, text), advice)
		return nil
	}
	return segments
}

// unique refuses a route that matches the same requests as one before it.
func (k *checker) unique(i int, r *Route, shape string, taken map[clash]int) {
	hosts, methods := r.Hosts, r.Methods
	if len(hosts) == 0 {
		hosts = Strings{""}
	}
	if len(methods) == 0 {
		methods = standardMethods
	}
	if slices.Contains(methods, "GET") {
		methods = append(slices.Clip(methods), "HEAD") // GET implies HEAD
	}
	told := false
	for _, host := range hosts {
		for _, method := range methods {
			key := clash{host, shape, method}
			before, twice := taken[key]
			switch {
			case !twice:
				taken[key] = i
			case before != i && !told:
				told = true
				at := item("routes", i)
				line, _ := k.place(at)
				other, _ := k.place(item("routes", before))
				k.fail(at+".path", fmt.Sprintf("the routes on lines %d and %d both match %s %s", other, line, method, k.show(at+".path", r.Path)), "change the path, hosts or methods of one")
			}
		}
	}
}

// auth checks that what a route asks of its callers can be had.
func (k *checker) auth(at string, r *Route) {
	path := at + ".auth"
	if r.Auth.Public || k.skip(path) || !k.written(path) {
		return
	}
	k.someone(path, r.Auth)
	k.apiKeysOf(path, r.Auth)
	k.clientCertificates(path, r.Auth)
	if r.Auth.Resource != "" {
		k.resource(path+".resource", r.Auth.Resource)
	}
	known := sortedKeys(k.c.Issuers)
	byValue := make(map[string]string)
	for i, name := range r.Auth.Issuers {
		issuer, ok := k.c.Issuers[name]
		if !ok {
			k.unknownName(item(path+".issuers", i), name, "issuer", "issuers", known)
			continue
		}
		if other := byValue[issuer.Issuer]; other != "" && other != name && issuer.Issuer != "" {
			k.fail(item(path+".issuers", i), fmt.Sprintf("the issuers %s and %s cannot be told apart: both have the same issuer value", quote(other), quote(name)), "keep one of them on this route")
		}
		byValue[issuer.Issuer] = name
	}
	for i, scope := range r.Auth.Scopes {
		if strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c == '"' || c == '\\' || c > '~' }) {
			at := item(path+".scopes", i)
			k.fail(at, "expected a scope such as orders:read, got "+k.show(at, scope), "write several as a list, or with commas")
		}
	}
	if at := path + ".allow"; k.written(at) && strings.TrimSpace(string(r.Auth.Allow)) == "" {
		k.fail(at, "allow is empty, which would let everybody through", "write an expression such as claims.tenant == params.tenant, or remove it")
	}
	for _, claim := range sortedKeys(r.Auth.Claims) {
		if at := path + ".claims." + shortKey(claim); len(r.Auth.Claims[claim]) == 0 && !k.failed(at) {
			k.fail(at, "the claim "+quote(claim)+" has no accepted values, so nobody would pass", "write at least one, or remove it")
		}
	}
}

// unknownName tells of a name that is not in the file.
func (k *checker) unknownName(at, name, what, block string, known []string) {
	advice := "there are none; add it under " + block
	if len(known) > 0 {
		advice = suggest(name, known, "the "+block+" are")
	}
	k.fail(at, "unknown "+what+" "+k.show(at, name), advice)
}

// rateLimits checks the limits of a route and fills in burst and key.
func (k *checker) rateLimits(at string, r *Route) {
	for i := range r.RateLimit {
		limit, path := &r.RateLimit[i], item(at+".rate_limit", i)
		if k.marks[path] == nil { // one limit, not in a list
			path = at + ".rate_limit"
		}
		switch {
		case k.failed(path + ".burst"):
		case limit.Burst == 0 && k.written(path+".burst"):
			k.fail(path+".burst", "a burst of 0 would let nobody through", "write 1 or more, or leave it out for the rate's count")
		case limit.Burst == 0:
			limit.Burst = limit.Rate.Count
		}
		kind, name, named := strings.Cut(limit.Key, ":")
		key := path + ".key"
		switch {
		case limit.Key == "" && r.Auth.Public:
			limit.Key = "ip"
		case limit.Key == "":
			limit.Key = "subject"
		case (kind == "subject" && !named || kind == "claim" && named) && r.Auth.Public:
			k.fail(key, "a public route has no callers to count by "+kind, "use ip, route or header:NAME")
		case !named && (kind == "subject" || kind == "ip" || kind == "route"), kind == "claim" && name != "":
		case kind == "header" && named && !isToken(name):
			k.fail(key, "expected header:NAME with the name of a header, got "+k.show(key, limit.Key), "")
		case kind != "header" || !named:
			k.fail(key, "expected subject, ip, route, claim:NAME or header:NAME, got "+k.show(key, limit.Key), "")
		}
	}
}
