package audit

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestVerifyNamesTheFirstRecordThatIsWrong(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	write(t, path, 9)
	good := lines(t, path) // records 1 to 10
	goodHead, err := os.ReadFile(headPath(path))
	if err != nil {
		t.Fatal(err)
	}
	other := newLog(t)
	write(t, other, 9)
	foreignLine := lines(t, other)[4]
	swap := func(list []string, i, j int) []string { list[i], list[j] = list[j], list[i]; return list }
	for name, c := range map[string]struct {
		change func(list []string) []string
		head   string // "" as it was, "-" removed
		says   string
	}{
		"one changed":                    {func(l []string) []string { l[4] = strings.Replace(l[4], "orders", "hoarders", 1); return l }, "", ":5: record 5 was changed"},
		"a number changed":               {func(l []string) []string { l[4] = strings.Replace(l[4], `"seq":5`, `"seq":4`, 1); return l }, "", ":5: record 5 was changed"},
		"its key changed":                {func(l []string) []string { l[4] = strings.Replace(l[4], `"key":"`, `"key":"0`, 1); return l }, "", ":5: record 5 stands under the audit key"},
		"its HMAC changed":               {func(l []string) []string { l[4] = otherDigit(l[4], len(l[4])-5); return l }, "", ":5: record 5 was changed"},
		"two changed":                    {func(l []string) []string { l[7], l[3] = "{}", "{}"; return l }, "", ":4: record 4 was changed"},
		"a member behind the HMAC":       {func(l []string) []string { l[4] = strings.TrimSuffix(l[4], "}") + `,"reason":"x"}`; return l }, "", ":5: record 5 was changed"},
		"a space":                        {func(l []string) []string { l[4] += " "; return l }, "", ":5: record 5 was changed"},
		"a CR":                           {func(l []string) []string { l[4] += "\r"; return l }, "", ":5: record 5 was changed"},
		"an empty line":                  {func(l []string) []string { return slices.Insert(l, 4, "") }, "", ":5: record 5 was changed"},
		"a line of its own":              {func(l []string) []string { return slices.Insert(l, 4, `{"event":"deny"}`) }, "", ":5: record 5 was changed"},
		"a line without end":             {func(l []string) []string { return slices.Insert(l, 4, strings.Repeat("x", maxLine)) }, "", ":5: record 5 was changed: its line is too long"},
		"one removed":                    {func(l []string) []string { return slices.Delete(l, 4, 5) }, "", ":5: record 5 was removed or moved: record 6 stands in its place"},
		"three removed":                  {func(l []string) []string { return slices.Delete(l, 4, 7) }, "", ":5: records 5 to 7 were removed or moved: record 8 stands"},
		"the first removed":              {func(l []string) []string { return l[1:] }, "", ":1: record 1 was removed or moved"},
		"the first three removed":        {func(l []string) []string { return l[3:] }, "", ":1: records 1 to 3 were removed or moved"},
		"the last removed":               {func(l []string) []string { return l[:9] }, "", "record 10 was removed from the end"},
		"the last three removed":         {func(l []string) []string { return l[:7] }, "", "records 8 to 10 were removed from the end"},
		"all removed":                    {func([]string) []string { return nil }, "", "was changed"}, // one empty line is left
		"two swapped":                    {func(l []string) []string { return swap(l, 3, 6) }, "", ":4: records 4 to 6 were removed or moved: record 7 stands"},
		"two neighbours":                 {func(l []string) []string { return swap(l, 3, 4) }, "", ":4: record 4 was removed or moved: record 5 stands"},
		"one moved to the end":           {func(l []string) []string { x := l[4]; return append(slices.Delete(l, 4, 5), x) }, "", ":5: record 5 was removed or moved"},
		"one repeated":                   {func(l []string) []string { return slices.Insert(l, 5, l[4]) }, "", ":6: record 5 was moved or repeated"},
		"one repeated at the end":        {func(l []string) []string { return append(l, l[4]) }, "", ":11: record 5 was moved or repeated"},
		"one of another log":             {func(l []string) []string { l[4] = foreignLine; return l }, "", ":5: record 5 does not belong to the record before it"},
		"the head removed":               {nil, "-", ".head: the head is missing"},
		"the head changed":               {nil, strings.Replace(string(goodHead), `"seq":10`, `"seq":9`, 1), ".head: the head was changed"},
		"a record for a head":            {nil, good[9], ".head: the head was changed"},
		"an empty head":                  {nil, "\n", ".head: the head was changed"},
		"the head of another log's end":  {nil, read(t, headPath(other)), "record 10 is not the one the head has"},
		"a tail cut, and the head too":   {func(l []string) []string { return l[:7] }, "-", ".head: the head is missing"},
		"a tail cut, an old head for it": {func(l []string) []string { return l[:7] }, oldHead(t, good, 2), ".head: the head is older than record 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "audit.jsonl")
			list := slices.Clone(good)
			if c.change != nil {
				list = c.change(list)
			}
			put(t, file, list)
			text := c.head
			if text == "" {
				text = string(goodHead)
			}
			if text != "-" {
				if err := os.WriteFile(headPath(file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Verify([][]byte{testKey}, file)
			var fault *Fault
			if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), file) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want one that says %q", err, c.says)
			}
		})
	}
	whole(t, 10, path)
}

// otherDigit changes the hex digit at a place.
func otherDigit(text string, at int) string {
	digit := "0"
	if text[at] == '0' {
		digit = "1"
	}
	return text[:at] + digit + text[at+1:]
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// oldHead is a head that was right when record n was the newest.
func oldHead(t *testing.T, list []string, n int) string {
	t.Helper()
	k, err := deriveKeys(testKey)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := readRecord([]byte(list[n-1]), k)
	text, err := encodeHead(k, r.point(), r.Seq)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The HMAC of the head can't be made from the log's lines: no key of the one is
// the other's.
func TestHeadAndRecordsHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	k, err := deriveKeys(testKey)
	if err != nil {
		t.Fatal(err)
	}
	if string(k.head) == string(k.record) || string(k.head) == string(testKey) || len(k.head) != 32 || strings.Contains(string(testKey), k.id) {
		t.Error("the keys are not of their own")
	}
	object, _ := json.Marshal(head{3, genesis, 3, k.id})
	forged, _ := seal(k.record, object)
	if _, is := readHead(forged, k); is != wrong {
		t.Errorf("a head signed as a record: %v", is)
	}
}

func TestShortKeysAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := Verify([][]byte{testKey[:31]}, newLog(t)); !errors.Is(err, ErrWeakKey) {
		t.Errorf("%v", err)
	}
	if _, err := Verify([][]byte{testKey}, newLog(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Verify([][]byte{testKey}); err == nil {
		t.Error("no file named: no error")
	}
}

func TestTimesThatHaveNoFormAreNumbers(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Time]string{
		time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)): `"time":"2026-01-02T02:04:05.000000006Z"`,
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC):                `"time":253402300800`,
		time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC):                   `"time":-62198755200`,
	} {
		if text, err := encode(Event{Time: at}, 1, "k", genesis); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v: %s, %v", at, text, err)
		}
	}
}

// FuzzAuditField puts anything into every field (logs-01, logs-06): the line
// stays one line of printable ASCII, within its bound, and says what was put.
func FuzzAuditField(f *testing.F) {
	for _, seed := range []string{"", "/x\r\n{\"level\":\"info\",\"msg\":\"admin ok\"}", "\x1b[31m", "\x00\x7f\u0085\u202e\u2028", "\xff\xfe", "😀", `"}` + "\n", strings.Repeat("\x00", 4096), "</script>"} {
		f.Add(seed)
	}
	k, err := deriveKeys(testKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		object, err := encode(Event{
			Kind: s, Action: s, Decision: s, Result: s, RequestID: s, IP: s, Method: s, Path: s, Route: s, Check: s, Reason: s,
			Subject: s, Issuer: s, Name: s, Backend: s, Detail: s,
		}, 7, k.id, genesis)
		if err != nil {
			t.Fatal(err)
		}
		text, digest := seal(k.record, object)
		if len(text) >= maxLine {
			t.Errorf("%d bytes", len(text))
		}
		for _, c := range text[:len(text)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, text)
			}
		}
		r, is := readRecord(text[:len(text)-1], k)
		if is != verified || r.Seq != 7 || r.digest != digest || r.Prev != genesis {
			t.Fatalf("%v: %+v", is, r)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for name, bound := range map[string]int{"event": maxText, "path": maxPath, "subject": maxText, "detail": maxText} {
			if got, _ := fields[name].(string); got != strings.ToValidUTF8(replaced(capped(s, bound)), "\ufffd") {
				t.Errorf("%s: %q of %q", name, got, s)
			}
		}
	})
}

// replaced has U+FFFD for each byte that is no UTF-8, as JSON's encoder has.
func replaced(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// FuzzAuditLine reads any line: none but a signed one is taken for one.
func FuzzAuditLine(f *testing.F) {
	k, err := deriveKeys(testKey)
	if err != nil {
		f.Fatal(err)
	}
	object, err := encode(Event{Kind: KindDeny}, 1, k.id, genesis)
	if err != nil {
		f.Fatal(err)
	}
	good, _ := seal(k.record, object)
	signedLine := string(good[:len(good)-1])
	f.Add(signedLine)
	f.Add(`{"seq":1,"hmac":"` + genesis + `"}`)
	f.Add(`,"hmac":"` + genesis + `"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if r, is := readRecord([]byte(text), k); is == verified && text != signedLine {
			t.Errorf("%+v of %q", r, text)
		}
		if h, is := readHead([]byte(text), k); is == verified {
			t.Errorf("%+v of %q", h, text)
		}
	})
}
