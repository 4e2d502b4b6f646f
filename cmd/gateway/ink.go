package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/internal/proxy"
)

// ink colours words for a terminal, and leaves them as they are elsewhere.
type ink bool

// newInk colours what is written to w if that is a terminal, unless NO_COLOR is
// set (https://no-color.org).
func newInk(w io.Writer) ink {
	f, ok := w.(*os.File)
	return ink(ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// Colours, as terminals number them.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

func (on ink) paint(colour, text string) string {
	if !on {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// verdict paints a decision, or the result of a check.
func (on ink) verdict(word string) string {
	switch strings.TrimSpace(word) {
	case "allow", "pass":
		return on.paint(green, word)
	case "deny":
		return on.paint(red, word)
	}
	return on.paint(faint, word)
}

// printExplanation writes e for people.
func printExplanation(w io.Writer, on ink, e proxy.Explanation) error {
	var b strings.Builder
	fmt.Fprint(&b, on.verdict(e.Decision))
	if e.Decision == "deny" {
		fmt.Fprint(&b, " ", on.paint(bold, strconv.Itoa(e.Status)))
	}
	if e.Route != "" {
		fmt.Fprint(&b, ", route ", on.paint(bold, e.Route))
	}
	fmt.Fprintln(&b)
	for _, c := range e.Checks {
		reason := printable(c.Reason)
		if c.Result == "skip" {
			reason = on.paint(faint, reason)
		}
		fmt.Fprintf(&b, "  %s  %-15s  %s\n", on.verdict(c.Result), c.Name, reason)
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"inject", e.Inject}, {"upstream", e.Upstream}} {
		if len(list.values) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", list.name, printable(strings.Join(list.values, ", ")))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable escapes what could steer a terminal: a reason may quote a caller.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	if quoted[1:len(quoted)-1] == strings.ReplaceAll(s, `"`, `\"`) {
		return s
	}
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
