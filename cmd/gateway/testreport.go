package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway"
)

// printCases writes a report for people.
func printCases(std streams, file string, r gateway.TestReport) error {
	on := newInk(std.out)
	var b strings.Builder
	for _, c := range r.Cases {
		if c.OK {
			fmt.Fprintf(&b, "%s    %s\n", on.paint(green, "ok"), printable(c.Name))
		} else {
			fmt.Fprintf(&b, "%s  %s %s\n", on.paint(red, "FAIL"), printable(c.Name), on.paint(faint, fmt.Sprintf("(%s:%d)", file, c.Line)))
			indent(&b, "      ", detail(on, c))
		}
		if c.Note != "" {
			fmt.Fprintf(&b, "      note: %s\n", printable(c.Note))
		}
	}
	fmt.Fprintf(&b, "%s, %d failed\n", counted(len(r.Cases), "case"), r.Failed())
	b.WriteString(coverageText(r))
	_, err := io.WriteString(std.out, b.String())
	return err
}

// detail tells how a case differs, and what the checks said.
func detail(on ink, c gateway.CaseResult) string {
	var b strings.Builder
	if c.Error != "" {
		fmt.Fprintf(&b, "cannot be asked: %s\n", printable(c.Error))
		return b.String()
	}
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "%s: expected %s, got %s\n", d.Field, on.paint(green, printable(d.Expected)), on.paint(red, printable(d.Got)))
	}
	_ = printExplanation(&b, on, c.Explanation) // a Builder takes all
	return b.String()
}

func indent(b *strings.Builder, by, text string) {
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// coverageText tells what no case tried; nothing where that was not asked.
func coverageText(r gateway.TestReport) string {
	if r.Coverage == nil {
		return ""
	}
	var missing strings.Builder
	tried := 0
	for _, c := range r.Coverage {
		switch {
		case c.Cases > 0:
			tried++
		case c.Result == "deny":
			fmt.Fprintf(&missing, "  %s: no case is refused by %s\n", c.Route, c.Check)
		default:
			fmt.Fprintf(&missing, "  %s: no case passes %s\n", c.Route, c.Check)
		}
	}
	return fmt.Sprintf("coverage: %d of %d\n", tried, len(r.Coverage)) + missing.String()
}

// printTAP writes a report as TAP version 14 (https://testanything.org).
func printTAP(std streams, file string, r gateway.TestReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 14\n1..%d\n", len(r.Cases))
	for i, c := range r.Cases {
		result := "ok"
		if !c.OK {
			result = "not ok"
		}
		name := strings.NewReplacer(`\`, `\\`, "#", `\#`).Replace(printable(c.Name))
		fmt.Fprintf(&b, "%s %d - %s\n", result, i+1, name)
		if !c.OK {
			fmt.Fprintf(&b, "  ---\n  at: %q\n  message: |\n", fmt.Sprintf("%s:%d", file, c.Line))
			indent(&b, "    ", detail(false, c))
			b.WriteString("  ...\n")
		}
		if c.Note != "" {
			fmt.Fprintf(&b, "# note: %s\n", printable(c.Note))
		}
	}
	indent(&b, "# ", coverageText(r))
	_, err := io.WriteString(std.out, b.String())
	return err
}

// junitSuite is a report in the form of JUnit, as CI servers read it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out,omitempty"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitProblem `xml:"failure"`
	Error   *junitProblem `xml:"error"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

func printJUnit(std streams, file string, r gateway.TestReport) error {
	suite := junitSuite{Name: file, Tests: len(r.Cases), Out: coverageText(r)}
	total := 0.0
	for _, c := range r.Cases {
		took := c.Took.Seconds()
		total += took
		one := junitCase{Name: c.Name, Class: file, File: file, Line: c.Line, Time: fmt.Sprintf("%.6f", took), Out: c.Note}
		switch {
		case c.Error != "":
			suite.Errors++
			one.Error = &junitProblem{Message: c.Error}
		case !c.OK:
			suite.Failures++
			d := c.Differences[0]
			one.Failure = &junitProblem{fmt.Sprintf("%s: expected %s, got %s", d.Field, d.Expected, d.Got), detail(false, c)}
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = fmt.Sprintf("%.6f", total)
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s%s\n", xml.Header, text)
	return err
}

func printCasesJSON(std streams, file string, r gateway.TestReport) error {
	return printJSON(std, struct {
		File     string               `json:"file"`
		Tests    int                  `json:"tests"`
		Failed   int                  `json:"failed"`
		Cases    []gateway.CaseResult `json:"cases"`
		Coverage []gateway.Coverage   `json:"coverage,omitempty"`
	}{file, len(r.Cases), r.Failed(), r.Cases, r.Coverage})
}
