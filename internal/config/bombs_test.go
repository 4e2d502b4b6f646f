//go:build unix

package config

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBombsAreRefusedAtOnce: what costs more than its length says is refused in
// less than a second and without much memory (case admin-07).
func TestBombsAreRefusedAtOnce(t *testing.T) {
	var layers strings.Builder
	layers.WriteString("trusted_proxies: &l0 [10.0.0.1]\n")
	for _, i := range strings.Split("123456789", "") {
		before := string(rune(i[0] - 1))
		layers.WriteString("x" + i + ": &l" + i + " {" + strings.Repeat("a: *l"+before+", ", 9) + "}\n")
	}
	for name, text := range map[string]string{
		"aliases of aliases":       "credentials: {a: {type: static, claims: {x: &a {" + manyKeys("b: [], ") + "}, y: &b {" + manyKeys("*a, ") + "}}}}" + route,
		"a billion laughs":         "credentials:\n  a:\n    type: jwt\n    claims:\n" + laughs() + route,
		"an alias in itself":       "credentials: {a: {claims: &a {x: *a}}}" + route,
		"100 MB":                   strings.Repeat("# 345678\n", 100_000_000/9),
		"4 MB of lists":            strings.Repeat("[],", maxFile/3),
		"4 MB of keys":             "{" + strings.Repeat("a,", maxFile/2-1),
		"all values that are read": "{" + strings.Repeat("a,", maxSeparators-10) + "}",
		"4 MB of dashes":           strings.Repeat("- ", maxFile/2),
		"4 MB of empty values":     strings.Repeat("?\n", maxFile/2),
		"deep lists":               strings.Repeat("[", 100_000),
		"deep blocks":              strings.Repeat("{a: ", 30_000),
		"a key of 4 MB":            strings.Repeat("k", maxFile-10) + ": 1",
		"many unknown keys":        manyUnknown(),
		"a variable many times":    "listen: '" + strings.Repeat("${env:BIG}", 10_000) + "'" + route,
		"deep variables":           "listen: '" + strings.Repeat("${env:A:-", 100_000) + "'" + route,
		"unknown layers of alias":  layers.String(),
		"many lines of one route":  "routes:\n" + strings.Repeat("  - {name: a, path: /, auth: public, upstream: \"http://a\"}\n", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := processorTime(t)
			_, err := Parse("gateway.yaml", []byte(text), environment("BIG="+strings.Repeat("x", 4096)))
			took := processorTime(t) - start
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("no error")
			}
			if took > 5*time.Second { // a tenth of one without the race detector
				t.Errorf("took %v of processor time", took)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 200 {
				t.Errorf("allocated %d MiB in all", used)
			}
			if len(err.Error()) > 20_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}

// processorTime is what this process has used so far, whatever else the machine
// is doing.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func manyKeys(item string) string {
	var b strings.Builder
	for i := range 900 {
		b.WriteString("k" + itoa(i) + ": " + strings.TrimPrefix(item, "b: "))
	}
	return b.String()
}

func laughs() string {
	var b strings.Builder
	b.WriteString("      l0: &l0 {a: 0}\n")
	for i := 1; i < 10; i++ {
		b.WriteString("      l" + itoa(i) + ": &l" + itoa(i) + " {")
		for j := range 10 {
			b.WriteString("k" + itoa(j) + ": *l" + itoa(i-1) + ", ")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func manyUnknown() string {
	var b strings.Builder
	for i := range 40_000 {
		b.WriteString("unknown_key_" + itoa(i) + ": 1\n")
	}
	return b.String()
}
