package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// Cases are requests, and what is expected to become of each (CONTRACT 2).
type Cases struct {
	Cases []Case `yaml:"cases" required:"true" doc:"a list of requests, and what is expected to become of each"`

	file  string
	marks map[string]*mark
}

// Case is one request and what is expected. At most one of Token, Raw and APIKey
// is there.
type Case struct {
	Name    string      `yaml:"name"`
	Request CaseRequest `yaml:"request" required:"true" doc:"method, url and headers"`
	Token   *CaseToken  `yaml:"token" doc:"claims to sign with a throw-away key"`
	Raw     string      `yaml:"raw" doc:"a token as it stands"`
	APIKey  *CaseAPIKey `yaml:"api_key" doc:"a record to make a throw-away key for"`
	At      time.Time   `yaml:"at" doc:"when; left out: now"`
	Expect  Expectation `yaml:"expect" required:"true" doc:"decision, and what else is to be seen to"`
}

// CaseRequest is a request as a client would send it.
type CaseRequest struct {
	Method  string            `yaml:"method" default:"GET"`
	URL     string            `yaml:"url" required:"true" doc:"absolute, or a path"`
	Headers map[string]string `yaml:"headers"`
	IP      string            `yaml:"ip" default:"127.0.0.1" doc:"address it comes from"`
}

// CaseToken is what a token says. What is left out is what its issuer accepts; a
// claim that is null is left out of the token.
type CaseToken struct {
	Issuer    string     `yaml:"issuer" doc:"its name in the configuration"`
	Subject   string     `yaml:"subject" default:"test" empty:"off"`
	Audience  Strings    `yaml:"audience" doc:"left out: the first the issuer accepts"`
	Scopes    Strings    `yaml:"scopes"`
	Claims    CaseClaims `yaml:"claims" doc:"further claims, or others in the place of those above"`
	ExpiresIn Offset     `yaml:"expires_in" default:"5m" doc:"below zero: it has expired"`

	Raw    string      `yaml:"raw"`
	APIKey *CaseAPIKey `yaml:"api_key"`
}

// CaseAPIKey names a record of an API key.
type CaseAPIKey struct {
	Source string `yaml:"source" required:"true" doc:"its name in the configuration's api_keys"`
	ID     string `yaml:"id" required:"true"`
}

// CaseClaims are claims of any type; nil is one to leave out.
type CaseClaims map[string]any

// Offset is a duration that may be negative.
type Offset time.Duration

// Expectation is what is to become of a request. What is left out may be
// anything.
type Expectation struct {
	Decision string  `yaml:"decision" required:"true" enum:"allow|deny"`
	Status   int     `yaml:"status"`
	Route    *string `yaml:"route" doc:"an empty text: none"`
	Check    string  `yaml:"check" doc:"the check that refuses"`
	Inject   Strings `yaml:"inject" doc:"credentials by name; [] is none"`
}

// Checks are the names a case may expect in check; rate_limit is either of the
// limits.
var caseChecks = []string{"normalise", "route", "limit_address", "authenticate", "authorise", "limit_principal", "rate_limit", "body", "service", "inject"}

// checkNames are other words for them.
var checkNames = map[string]string{
	"path": "normalise", "normalize": "normalise", "parse": "normalise", "method": "route",
	"authentication": "authenticate", "authorize": "authorise", "authorisation": "authorise", "authorization": "authorise",
	"rate by address": "limit_address", "rate by principal": "limit_principal", "rate limit": "rate_limit", "credential": "inject",
}

// LoadCases reads a file of cases. The error is [Errors], or says in one line
// why there is nothing to read.
func LoadCases(path string, o Options) (*Cases, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseCases(path, text, o)
}

// ParseCases reads cases from text; name stands for the file in messages. The
// error is [Errors].
func ParseCases(name string, text []byte, o Options) (*Cases, error) {
	root, bad := parseYAML(text)
	if bad != nil {
		if bad.Problem == emptyError().Problem {
			bad.Problem, bad.Advice = "there are no cases", "write at least one"
		}
		bad.File = name
		return nil, Errors{*bad}
	}
	lookup := o.LookupEnv
	if lookup == nil {
		lookup = os.LookupEnv
	}
	var c Cases
	d := newDecoder(name, text, lookup, hidden{}, false)
	d.marks[""] = &mark{line: root.Line, column: root.Column, written: true}
	d.decode(root, reflect.ValueOf(&c).Elem(), "", new(field))
	if !d.stopped {
		for i := range c.Cases {
			d.checkCase(item("cases", i), &c.Cases[i])
		}
	}
	if len(c.Cases) == 0 && len(d.errs) == 0 {
		d.fail("cases", "there are no cases", "write at least one")
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	c.file, c.marks = name, d.marks
	return &c, nil
}

// checkCase judges what the type of a key cannot say, and brings a case into
// one form.
func (r *report) checkCase(path string, c *Case) {
	if c.Name == "" {
		c.Name = c.Request.Method + " " + c.Request.URL
	}
	if at := path + ".request.url"; c.Request.URL == "" && r.written(at) {
		r.fail(at, "the URL is empty", "write one, or a path such as /orders/1")
	}
	if at := path + ".request.method"; !isToken(c.Request.Method) && !r.failed(at) {
		r.fail(at, "expected a method such as GET, got "+r.show(at, c.Request.Method), "")
	}
	r.checkHeaders(path+".request.headers", c.Request.Headers)
	if t := c.Token; t != nil && (t.Raw != "" || t.APIKey != nil) { // written inside the token's block
		if t.Issuer != "" {
			r.fail(path+".token.issuer", "a token is either minted for an issuer, or raw, or an api_key", "keep one of them")
		}
		c.Raw, c.APIKey, c.Token = t.Raw, t.APIKey, nil
	}
	kinds := 0
	for _, there := range []bool{c.Token != nil, c.Raw != "", c.APIKey != nil} {
		if there {
			kinds++
		}
	}
	if kinds > 1 {
		r.fail(path, "a case has one of token, raw and api_key", "keep one of them")
	}
	if c.Token != nil && c.Token.Issuer == "" && !r.failed(path+".token") {
		r.fail(path+".token", path+".token needs issuer: its name in the configuration", "")
	}
	r.checkExpectation(path+".expect", &c.Expect)
}

func (r *report) checkHeaders(path string, headers map[string]string) {
	for _, name := range sortedKeys(headers) {
		if at := join(path, shortKey(name)); !isToken(name) {
			r.fail(at, "expected the name of a header field, got "+quote(name), "")
		} else if !isFieldValue(headers[name]) {
			r.fail(at, "the value holds a control character", "remove it")
		}
	}
}

func (r *report) checkExpectation(path string, e *Expectation) {
	at := path + ".check"
	if name, ok := checkNames[e.Check]; ok {
		e.Check = name
	}
	switch {
	case r.failed(path) || e.Check == "":
	case !slices.Contains(caseChecks, e.Check):
		r.fail(at, "expected one of the checks, got "+r.show(at, e.Check), suggest(e.Check, caseChecks, "they are"))
	case e.Decision == "allow":
		r.fail(at, "check is the one that refuses, and the decision is allow", "remove check, or write decision: deny")
	}
	switch at := path + ".status"; {
	case r.failed(at) || !r.written(at):
	case e.Status < 100 || e.Status > 599:
		r.fail(at, fmt.Sprintf("expected a status from 100 to 599, got %d", e.Status), "")
	case e.Decision == "allow" && e.Status != 200:
		r.fail(at, "what the upstream would answer to a request that is let through is not known", "remove status, or write 200, which stands for it")
	}
}

// Check compares the names in the cases with those of a configuration. The error
// is [Errors].
func (c *Cases) Check(cfg *Config) error {
	r := &report{file: c.file, marks: c.marks}
	issuers, sources := sortedKeys(cfg.Issuers), sortedKeys(cfg.APIKeys)
	credentials := sortedKeys(cfg.Credentials)
	var routes []string
	for _, route := range cfg.Routes {
		routes = append(routes, route.Name)
	}
	if cfg.Crypto != nil {
		routes = append(routes, CryptoRoute)
	}
	known := func(path, name, what string, names []string) {
		if !slices.Contains(names, name) {
			advice := "there are none"
			if len(names) > 0 {
				advice = suggest(name, names, "there are")
			}
			r.fail(path, fmt.Sprintf("the configuration has no %s %s", what, quote(name)), advice)
		}
	}
	for i, one := range c.Cases {
		at := item("cases", i)
		if one.Token != nil {
			known(at+".token.issuer", one.Token.Issuer, "issuer", issuers)
		}
		if one.APIKey != nil {
			known(at+".api_key.source", one.APIKey.Source, "list of API keys", sources)
		}
		if one.Expect.Route != nil && *one.Expect.Route != "" {
			known(at+".expect.route", *one.Expect.Route, "route", routes)
		}
		for n, name := range one.Expect.Inject {
			known(item(at+".expect.inject", n), name, "credential", credentials)
		}
	}
	if len(r.errs) > 0 {
		return r.errs.sorted()
	}
	return nil
}

// File returns the name of the file the cases were read from.
func (c *Cases) File() string { return c.file }

// Position returns where a key such as cases[0].token stands in the file.
func (c *Cases) Position(key string) (line, column int) {
	m := (&report{marks: c.marks}).nearest(key)
	return m.line, m.column
}

// claims decodes claims, where null says that the token has none of that name.
func (d *decoder) claims(n *yaml.Node, v *CaseClaims, path string) bool {
	if n.Kind != yaml.MappingNode {
		d.fail(path, "expected a block of keys, got "+kindOf(n), "")
		return true
	}
	*v = make(CaseClaims)
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, shortKey(key.Value))
		m := d.place(at, key, value)
		one := reflect.New(reflect.TypeFor[any]()).Elem()
		m.written = d.any(value, one, at)
		(*v)[key.Value] = one.Interface()
	})
	return true
}

// parseOffset reads a duration with or without a sign.
func parseOffset(text string) (Offset, string) {
	d, expected := parseDuration(strings.TrimPrefix(text, "-"))
	if expected != "" {
		return 0, "a duration such as 5m or -5m"
	}
	if strings.HasPrefix(text, "-") {
		d = -d
	}
	return Offset(d), ""
}

// parseTime reads a moment (RFC 3339).
func parseTime(text string) (time.Time, string) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, "a time such as 2026-11-23T12:00:00Z"
	}
	return t, ""
}
