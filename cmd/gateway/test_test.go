package main

import (
	"encoding/json"
	"encoding/xml"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
)

const testConfig = `
admin: {listen: ""}
issuers: {corp: {issuer: corp, audiences: [a], jwks_url: "https://idp.invalid/jwks"}}
routes:
  - {name: orders, path: /orders/*, auth: {issuers: [corp], scopes: [read]}, upstream: "http://legacy"}
  - {name: open, path: /open, auth: public, upstream: "http://legacy"}
`

const testCases = `
cases:
  - {name: reads, request: {url: /orders/1}, token: {issuer: corp, scopes: [read]}, expect: {decision: allow}}
  - {name: "<nobody> # ]]> \x1b", request: {url: /orders/1}, expect: {decision: allow, status: 200}}
  - {name: no request, request: {url: "ftp://a"}, expect: {decision: deny}}
`

func TestExitStatusesOfTest(t *testing.T) {
	t.Parallel()
	cfg := write(t, "gateway.yaml", testConfig)
	good := write(t, "good.yaml", `cases: [{request: {url: /open}, expect: {decision: allow}}]`)
	for name, c := range map[string]struct {
		args   []string
		status int
		errs   string
	}{
		"as expected":     {[]string{good}, exitOK, ""},
		"one differs":     {[]string{write(t, "bad.yaml", testCases)}, exitFailure, "2 of 3 cases differ"},
		"no file named":   {nil, exitUsage, "an argument is missing; write gateway "},
		"no such file":    {[]string{good + "x"}, exitFailure, "no-such"},
		"a wrong file":    {[]string{write(t, "wrong.yaml", "cases: 1")}, exitFailure, "wrong.yaml:1:8: expected a list"},
		"an unknown name": {[]string{write(t, "name.yaml", `cases: [{request: {url: /open}, expect: {decision: allow, route: opne}}]`)}, exitFailure, `did you mean "open"?`},
		"output":          {[]string{good, "--output", "html"}, exitUsage, "--output must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, errs := invoke(t, append([]string{"test", "-c", cfg}, c.args...)...)
			if name == "no such file" {
				c.errs = "file does not exist"
			}
			if status != c.status || !strings.Contains(errs, c.errs) {
				t.Errorf("ended with %d: %s", status, errs)
			}
		})
	}
}

// report runs testCases and returns the report in a form.
func report(t *testing.T, form string) string {
	t.Helper()
	status, out, errs := invoke(t, "test", "-c", write(t, "gateway.yaml", testConfig), "--coverage", "--output", form, write(t, "cases.yaml", strings.ReplaceAll(testCases, `\x1b`, `\u009b`)))
	if status != exitFailure || strings.Contains(out, "\x1b") || strings.Contains(out, "\u009b") && form != "json" && form != "junit" {
		t.Errorf("ended with %d: %s\n%q", status, errs, out)
	}
	return out
}

func TestReportForPeople(t *testing.T) {
	t.Parallel()
	out := report(t, "text")
	for _, part := range []string{"ok    reads\n", "FAIL  <nobody> # ]]> ", "decision: expected allow, got deny\n", "cannot be asked: ", "3 cases, 2 failed\n", "coverage: 4 of 6\n", "orders: no case is refused by authorise\n", "open: no case passes route\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in\n%s", part, out)
		}
	}
}

func TestReportAsJUnit(t *testing.T) {
	t.Parallel()
	var suite junitSuite
	if err := xml.Unmarshal([]byte(report(t, "junit")), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Errors != 1 || len(suite.Cases) != 3 || !strings.Contains(suite.Out, "coverage: 4 of 6") {
		t.Errorf("%+v", suite)
	}
	if f := suite.Cases[1].Failure; f == nil || f.Message != "decision: expected allow, got deny" || !strings.Contains(f.Text, "authenticate") || !strings.HasPrefix(suite.Cases[1].Name, "<nobody> # ]]>") {
		t.Errorf("%+v", suite.Cases[1])
	}
	if suite.Cases[0].Failure != nil || suite.Cases[2].Error == nil {
		t.Errorf("%+v", suite.Cases)
	}
}

// Every line of a TAP stream is of one of its kinds, and a # in a name does not
// make a directive of what follows.
func TestReportAsTAP(t *testing.T) {
	t.Parallel()
	out := report(t, "tap")
	if !strings.HasPrefix(out, "TAP version 14\n1..3\nok 1 - reads\nnot ok 2 - <nobody> \\# ]]> ") {
		t.Errorf("%s", out)
	}
	line := regexp.MustCompile(`^(TAP version 14|1\.\.3|(not )?ok [123] - .*|  ---|  \.\.\.|  .*|# .*)$`)
	for text := range strings.Lines(out) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("%q is no line of TAP", text)
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	t.Parallel()
	var got struct {
		Tests, Failed int
		Cases         []gateway.CaseResult
		Coverage      []gateway.Coverage
	}
	if err := json.Unmarshal([]byte(report(t, "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 3 || got.Failed != 2 || !got.Cases[0].OK || got.Cases[1].Explanation.Status != 401 || got.Cases[2].Error == "" || len(got.Coverage) != 6 {
		t.Errorf("%+v", got)
	}
}
