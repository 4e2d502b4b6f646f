package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"
)

// defaultMethods are those of a route that names none.
var defaultMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// router finds the route of a request: the host first (exact, wildcard, any),
// then the path in that host's tree, then the method. It never falls through:
// a path that one host does not have is not looked for in another.
type router struct {
	exact    map[string]*tree
	wildcard map[string]*tree // by ".example.com", the longest suffix first
	any      *tree
	contexts sync.Pool // of *chi.Context
}

// tree is the routes of one host. chi finds the pattern; the methods are ours,
// since chi would look for another pattern where the method does not fit.
type tree struct {
	mux         *chi.Mux
	patterns    map[string]*pattern
	expressions map[string]parameter // by what stands before the parameter
}

// parameter is one with an expression, and the route that has it.
type parameter struct{ expression, route string }

type pattern struct {
	methods map[string]*route
	allow   string // for the Allow header
	slashes bool   // one of the routes keeps encoded slashes
}

// treeMethod is the one method every pattern is registered under.
const treeMethod = http.MethodGet

func newRouter(routes []*route) (*router, error) {
	r := &router{exact: make(map[string]*tree), wildcard: make(map[string]*tree)}
	r.contexts.New = func() any { return chi.NewRouteContext() }
	for _, rt := range routes {
		for _, t := range r.trees(rt.Hosts) {
			if err := t.add(rt.Path, rt); err != nil {
				return nil, err
			}
		}
	}
	r.each(func(t *tree) { t.finish() })
	return r, nil
}

// trees returns the trees of hosts, making those that are new.
func (r *router) trees(hosts []string) []*tree {
	if len(hosts) == 0 {
		if r.any == nil {
			r.any = newTree()
		}
		return []*tree{r.any}
	}
	trees := make([]*tree, 0, len(hosts))
	for _, host := range hosts {
		group, key := r.exact, strings.ToLower(strings.TrimSuffix(host, "."))
		if suffix, ok := strings.CutPrefix(key, "*"); ok {
			group, key = r.wildcard, suffix
		}
		if group[key] == nil {
			group[key] = newTree()
		}
		trees = append(trees, group[key])
	}
	return trees
}

func (r *router) each(f func(*tree)) {
	for _, t := range r.exact {
		f(t)
	}
	for _, t := range r.wildcard {
		f(t)
	}
	if r.any != nil {
		f(r.any)
	}
}

// forHost returns the tree that serves host, or nil.
func (r *router) forHost(host string) *tree {
	if t := r.exact[host]; t != nil {
		return t
	}
	for rest := host; len(r.wildcard) > 0; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			break
		}
		if t := r.wildcard[rest[dot:]]; t != nil && dot > 0 {
			return t
		}
		rest = rest[dot+1:]
	}
	return r.any
}

// find returns the pattern that serves path on host, or nil, and the values of
// its parameters in the order of the path, escaped as they stand there.
func (r *router) find(host, path string) (found *pattern, params []string) {
	t := r.forHost(host)
	if t == nil {
		return nil, nil
	}
	rctx := r.contexts.Get().(*chi.Context)
	defer r.contexts.Put(rctx)
	rctx.Reset()
	found = t.patterns[t.mux.Find(rctx, treeMethod, path)]
	for i, key := range rctx.URLParams.Keys {
		if key != "*" {
			params = append(params, rctx.URLParams.Values[i])
		}
	}
	return found, params
}

// Parameters returns the names of the parameters of a route's path, in its order.
func Parameters(path string) (names []string) {
	for {
		open := strings.IndexByte(path, '{')
		if open < 0 {
			return names
		}
		end := closingBrace(path[open:])
		if end < 0 {
			return names
		}
		name, _, _ := strings.Cut(path[open+1:open+end], ":")
		names, path = append(names, name), path[open+end+1:]
	}
}

// has reports whether a pattern of t matches path.
func (t *tree) has(path string) bool {
	return t.mux.Find(chi.NewRouteContext(), treeMethod, path) != ""
}

func newTree() *tree {
	return &tree{mux: chi.NewRouter(), patterns: make(map[string]*pattern), expressions: make(map[string]parameter)}
}

// tellApart refuses two different expressions in one place: where both match a
// path, only the order of the routes would tell which wins.
func (t *tree) tellApart(path string, rt *route) error {
	for at := 0; ; {
		open := strings.IndexByte(path[at:], '{')
		if open < 0 {
			return nil
		}
		open += at
		at = open + closingBrace(path[open:])
		name, expression, has := strings.Cut(path[open:at], ":")
		if !has {
			continue
		}
		before, seen := t.expressions[path[:open]+name]
		if seen && before.expression != expression {
			return fmt.Errorf("routes %s and %s have different expressions for a parameter in the same place; use one expression, or plain parameters", before.route, rt.Name)
		}
		t.expressions[path[:open]+name] = parameter{expression, rt.Name}
	}
}

// add puts rt under path for its methods. chi panics where a pattern is wrong
// or stands beside one it cannot tell it from.
func (t *tree) add(path string, rt *route) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("route %s: path %s: %v", rt.Name, path, p)
		}
	}()
	path, err = treePattern(path)
	if err != nil {
		return fmt.Errorf("route %s: path %s: %w", rt.Name, rt.Path, err)
	}
	if err := t.tellApart(path, rt); err != nil {
		return err
	}
	p := t.patterns[path]
	if p == nil {
		p = &pattern{methods: make(map[string]*route)}
		t.mux.Method(treeMethod, path, http.NotFoundHandler())
		t.patterns[path] = p
	}
	for _, method := range rt.methods() {
		if other := p.methods[method]; other != nil && other != rt {
			return fmt.Errorf("routes %s and %s both match %s %s", other.Name, rt.Name, method, path)
		}
		p.methods[method] = rt
		p.slashes = p.slashes || rt.KeepEncodedSlash
	}
	return nil
}

// treePattern is path as the tree knows it: its literal parts in the normal
// form of requests, its parameters by number, since /{a} and /{b} match the same
// requests.
func treePattern(path string) (string, error) {
	var b strings.Builder
	for n := 0; path != ""; n++ {
		open := strings.IndexByte(path, '{')
		if open < 0 {
			open = len(path)
		}
		literal, err := parsePattern(path[:open])
		if err != nil {
			return "", err
		}
		b.WriteString(literal)
		if path = path[open:]; path == "" {
			break
		}
		end := closingBrace(path)
		if end < 0 {
			return "", errors.New("a { has no }")
		}
		_, expression, has := strings.Cut(path[1:end], ":")
		fmt.Fprintf(&b, "{%d", n)
		if _, err := regexp.Compile(expression); err != nil { // or it could close the group below
			return "", fmt.Errorf("the expression %s: %w", expression, err)
		}
		if has { // chi would anchor the first and the last alternative only
			b.WriteString(":^(?:" + expression + ")$")
		}
		b.WriteByte('}')
		path = path[end+1:]
	}
	return b.String(), nil
}

// parsePattern normalises a literal part of a path.
func parsePattern(literal string) (string, error) {
	normal, err := normalise(literal)
	if err == nil && dotSegment(normal) {
		err = errTargetDots
	}
	return normal, err
}

// closingBrace returns where the brace that path begins with is closed, or -1.
func closingBrace(path string) int {
	depth := 0
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// finish lets /orders/* match /orders too, where no route has that path, and
// fixes the Allow headers.
func (t *tree) finish() {
	for path, p := range t.patterns {
		p.allow = allowed(p.methods)
		if short, ok := strings.CutSuffix(path, "/*"); ok && short != "" && t.patterns[short] == nil {
			t.mux.Method(treeMethod, short, http.NotFoundHandler())
			t.patterns[short] = p
		}
	}
}

func allowed(methods map[string]*route) string {
	names := make([]string, 0, len(methods))
	for name := range methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// methods returns what rt serves; GET implies HEAD.
func (rt *route) methods() []string {
	if len(rt.Methods) == 0 {
		return defaultMethods
	}
	methods := slices.Clone(rt.Methods)
	if slices.Contains(methods, "GET") && !slices.Contains(methods, "HEAD") {
		methods = append(methods, "HEAD")
	}
	return methods
}
