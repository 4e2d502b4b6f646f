package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setText puts what text says into v, whose type decides how it is read. What
// it returns is what v takes, as in "a duration such as 30s", or empty if text
// was just that.
func setText(v reflect.Value, text string) (expected string) {
	var ok bool
	switch value := v.Addr().Interface().(type) {
	case *time.Duration:
		*value, expected = parseDuration(text)
		return expected
	case *time.Time:
		*value, expected = parseTime(text)
		return expected
	case *Offset:
		*value, expected = parseOffset(text)
		return expected
	case *Size:
		*value, ok = parseSize(text)
		return unless(ok, "a size such as 64KiB or 10MiB")
	case *Rate:
		*value, expected = parseRate(text)
		return expected
	case *Strings:
		*value = splitList(text) // blanks and commas alone are a slip, and must not mean "none asked"
		return unless(text == "" || len(*value) > 0, "a list, or a text with commas between its words")
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
		return unless(text == "true" || text == "false", "true or false")
	case reflect.Int:
		n, ok := parseDigits(text)
		v.SetInt(n)
		return unless(ok && n <= math.MaxInt32, "a whole number such as 10")
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return unless(err == nil && f >= 0 && !math.IsInf(f, 0) && strings.Trim(text, "0123456789.") == "", "a number such as 0.1")
	case reflect.Slice: // of numbers
		v.SetZero()
		for _, item := range splitList(text) {
			one := reflect.New(v.Type().Elem()).Elem()
			if expected := setText(one, item); expected != "" {
				return expected
			}
			v.Set(reflect.Append(v, one))
		}
	default:
		return "a block of keys"
	}
	return ""
}

func unless(ok bool, expected string) string {
	if ok {
		return ""
	}
	return expected
}

// splitList reads a list written as one text with commas.
func splitList(text string) Strings {
	list := Strings{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// parseDigits reads a number of decimal digits, nothing else.
func parseDigits(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// parseDuration reads Go's syntax, or 0.
func parseDuration(text string) (d time.Duration, expected string) {
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d >= 0 && text[0] != '+':
		return d, ""
	case err == nil && d < 0:
		return 0, "a duration that is not negative"
	case strings.HasSuffix(text, "d") && len(text) > 1 && strings.Trim(text[:len(text)-1], "0123456789") == "":
		return 0, "a duration such as 24h (h is the longest unit)"
	}
	return 0, "a duration such as 30s"
}

// parseSize reads a number of bytes with a unit or none.
func parseSize(text string) (Size, bool) {
	digits := strings.TrimRight(text, "BKMGTi")
	n, ok := parseDigits(digits)
	unit := int64(1)
	switch text[len(digits):] {
	case "", "B":
	case "KB":
		unit = 1e3
	case "KiB":
		unit = 1 << 10
	case "MB":
		unit = 1e6
	case "MiB":
		unit = 1 << 20
	case "GB":
		unit = 1e9
	case "GiB":
		unit = 1 << 30
	default:
		return 0, false
	}
	if !ok || n > math.MaxInt64/unit {
		return 0, false
	}
	return Size(n * unit), true
}

// parseRate reads COUNT/SPAN, where a unit alone is one of it.
func parseRate(text string) (r Rate, expected string) {
	expected = "a rate such as 100/s or 6000/1m"
	count, span, found := strings.Cut(text, "/")
	n, ok := parseDigits(strings.TrimSpace(count))
	if !found || !ok || n > math.MaxInt32 {
		return Rate{}, expected
	}
	span = strings.TrimSpace(span)
	if span != "" && strings.IndexByte("0123456789.", span[0]) < 0 {
		span = "1" + span
	}
	per, problem := parseDuration(span)
	switch {
	case problem != "":
		return Rate{}, expected
	case n == 0 || per == 0:
		return Rate{}, "a rate above 0 (a rate of 0 would let nobody through; leave the limit out for none)"
	}
	return Rate{Count: int(n), Per: per}, ""
}

// bound compares a value with its smallest one, and returns that if the value
// is below.
func bound(v reflect.Value, least string) (string, bool) {
	lowest := reflect.New(v.Type()).Elem()
	if least == "" || setText(lowest, least) != "" {
		return "", true
	}
	return least, v.Int() >= lowest.Int()
}

// words are those a key takes. The ones that end in ! are refused in this
// version.
type words []string

func (f *field) words() words {
	if f.enum == "" {
		return nil
	}
	return strings.Split(f.enum, "|")
}

// supported returns the words that are not refused.
func (w words) supported() []string {
	var list []string
	for _, word := range w {
		if !strings.HasSuffix(word, "!") {
			list = append(list, word)
		}
	}
	return list
}

// either lists words to choose from.
func either(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// judge says what is wrong with text as one of w; shown is how to quote it.
func (w words) judge(text, shown string) (problem, advice string, unsupported bool) {
	supported := w.supported()
	list := either(supported)
	for _, word := range w {
		switch text {
		case word:
			return "", "", false
		case strings.TrimSuffix(word, "!"):
			return fmt.Sprintf("%q is not supported in this version", text), "use " + list, true
		}
	}
	if near, ok := nearestWord(text, supported); ok {
		return fmt.Sprintf("expected %s, got %s", list, shown), "did you mean " + quote(near) + "?", false
	}
	return fmt.Sprintf("expected %s, got %s", list, shown), "", false
}
