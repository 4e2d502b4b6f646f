package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/token"
)

// CaseResult is what became of a case.
type CaseResult struct {
	Name        string            `json:"name"`
	Line        int               `json:"line"` // where it stands in its file
	OK          bool              `json:"ok"`
	Differences []Difference      `json:"differences"`
	Error       string            `json:"error,omitempty"` // why it could not be asked
	Note        string            `json:"note,omitempty"`  // what is to be known of the answer
	Explanation proxy.Explanation `json:"explanation"`
	Took        time.Duration     `json:"-"`
}

// Difference is one thing that is not as expected.
type Difference struct {
	Field    string `json:"field"`
	Expected string `json:"expected"`
	Got      string `json:"got"`
}

// TestReport is what became of all cases, and what none of them tried.
type TestReport struct {
	Cases    []CaseResult
	Coverage []Coverage
}

// Failed counts the cases that are not as expected.
func (r TestReport) Failed() (n int) {
	for _, c := range r.Cases {
		if !c.OK {
			n++
		}
	}
	return n
}

// TestCases asks the checks of c about each case, with throw-away keys in the
// place of the issuers'. Nothing is fetched but for raw tokens, which need the
// issuers' own keys, and API keys, which need their records. The error is of
// config.Errors where the cases do not fit the configuration.
func TestCases(ctx context.Context, c *config.Config, cases *config.Cases, o Options) (TestReport, error) {
	if err := cases.Check(c); err != nil {
		return TestReport{}, err
	}
	keys := newCaseKeys(ctx, c, cases, o)
	s, err := newStage(c, o, keys.records())
	if err != nil {
		return TestReport{}, err
	}
	t := &tester{stage: s, ctx: ctx, config: c, options: o, keys: keys}
	var report TestReport
	coverage := newCoverage(c.Routes)
	for i, one := range cases.Cases {
		started := time.Now()
		result := t.run(one)
		result.Took = time.Since(started)
		result.Line, _ = cases.Position("cases[" + strconv.Itoa(i) + "]")
		coverage.add(result.Explanation)
		report.Cases = append(report.Cases, result)
	}
	report.Coverage = coverage.list
	return report, nil
}

// tester runs cases one after the other.
type tester struct {
	*stage
	ctx     context.Context
	config  *config.Config // as it was written
	options Options
	keys    *caseKeys

	own    *Gateway // with the issuers' own keys; nil before one is wanted
	ownErr error
}

func (t *tester) run(c config.Case) CaseResult {
	result := CaseResult{Name: c.Name, Differences: []Difference{}, Explanation: proxy.Explanation{Checks: []proxy.Check{}, Inject: []string{}, Upstream: []string{}}}
	if t.now = c.At; c.At.IsZero() {
		t.now = time.Now()
	}
	q, g, note, err := t.question(c)
	if err == nil {
		result.Note = note
		result.Explanation, err = g.Explain(q)
	}
	if err != nil {
		result.Error = err.Error()
		return result
	}
	result.Differences = differences(c.Expect, result.Explanation)
	result.OK = len(result.Differences) == 0
	return result
}

// question is the request of a case with its credential, the gateway to ask, and
// what is to be known of its answer.
func (t *tester) question(c config.Case) (q Question, g *Gateway, note string, err error) {
	q = Question{Method: c.Request.Method, URL: c.Request.URL, Secure: t.config.TLS != nil}
	if q.IP, err = netip.ParseAddr(c.Request.IP); err != nil {
		return q, nil, "", fmt.Errorf("ip %q is no address", c.Request.IP)
	}
	for name, value := range c.Request.Headers {
		q.Headers = append(q.Headers, Header{name, value})
	}
	switch {
	case c.Token != nil:
		signed, err := t.mint(*c.Token, t.now)
		if err != nil {
			return q, nil, "", err
		}
		q.present(signed, t.config.Issuers[c.Token.Issuer].From)
	case c.APIKey != nil:
		key, err := t.keys.of(*c.APIKey)
		if err != nil {
			return q, nil, "", err
		}
		q.Headers = append(q.Headers, Header{t.config.APIKeys[c.APIKey.Source].Header, key})
	case c.Raw != "":
		name := t.issuerOf(c.Raw)
		q.present(c.Raw, t.config.Issuers[name].From)
		if name != "" {
			g, note := t.withKeysOf(name)
			return q, g, note, nil
		}
	}
	return q, t.Gateway, "", nil
}

// present puts a token where its issuer's tokens may stand.
func (q *Question) present(raw string, from config.Strings) {
	place, name := "header", ""
	if len(from) > 0 {
		place, name, _ = strings.Cut(from[0], ":")
	}
	switch place {
	case "cookie":
		q.Headers = append(q.Headers, Header{"Cookie", name + "=" + raw})
	case "query":
		before, _, _ := strings.Cut(q.URL, "#") // no client sends what follows
		mark := "?"
		if strings.Contains(before, "?") {
			mark = "&"
		}
		q.URL = before + mark + url.QueryEscape(name) + "=" + url.QueryEscape(raw)
	default:
		q.Headers = append(q.Headers, Header{"Authorization", "Bearer " + raw})
	}
}

// issuerOf returns the name of the issuer that a token says it is of.
func (t *tester) issuerOf(raw string) string {
	parsed, err := token.Parse(raw)
	if err != nil {
		return ""
	}
	for _, a := range t.config.Auths() {
		for _, name := range a.Issuers {
			if t.config.Issuers[name].Issuer == parsed.Claims.Issuer {
				return name
			}
		}
	}
	return ""
}

// withKeysOf returns a gateway with the issuer's own keys. Where they are not to
// be had it is the one with the throw-away keys, which did not sign the token.
func (t *tester) withKeysOf(name string) (*Gateway, string) {
	if t.own == nil && t.ownErr == nil {
		t.own, t.ownErr = t.live(t.ctx, t.config, t.options)
	}
	why := t.ownErr
	if why == nil {
		h := t.own.current.Load().issuers[name].health(name)
		if h.State == admin.OK || h.State == admin.Degraded {
			return t.own, ""
		}
		why = errors.New(h.Detail)
	}
	return t.Gateway, fmt.Sprintf("the keys of issuer %s are not to be had (%v): no signature of it verifies here", name, why)
}

// differences compares what is expected with what would become of the request.
func differences(want config.Expectation, got proxy.Explanation) []Difference {
	list := []Difference{}
	differ := func(field, want, got string) {
		list = append(list, Difference{field, want, got})
	}
	if want.Decision != got.Decision {
		differ("decision", want.Decision, got.Decision)
	}
	if want.Status != 0 && want.Status != got.Status {
		differ("status", strconv.Itoa(want.Status), strconv.Itoa(got.Status))
	}
	if want.Route != nil && *want.Route != got.Route {
		differ("route", orNone(*want.Route), orNone(got.Route))
	}
	if by := refusedBy(got); want.Check != "" && want.Check != by && !(want.Check == "rate_limit" && strings.HasPrefix(by, "limit_")) {
		differ("check", want.Check, orNone(by))
	}
	if want.Inject != nil {
		a, b := slices.Sorted(slices.Values(want.Inject)), slices.Sorted(slices.Values(got.Inject))
		if !slices.Equal(a, b) {
			differ("inject", orNone(strings.Join(a, ", ")), orNone(strings.Join(b, ", ")))
		}
	}
	return list
}

func refusedBy(e proxy.Explanation) string {
	for _, c := range e.Checks {
		if c.Result == "deny" {
			return c.Name
		}
	}
	return ""
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
