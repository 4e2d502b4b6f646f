package credentials

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A situation is what happens to a credential, moment by moment, and what a
// request then gets. Tokens live 10 minutes, if nothing else is said; a1 is the
// first token, got with the client secret a.
type situation struct {
	name    string
	moments []moment
}

type moment struct {
	at    time.Duration
	event string // of events; empty: time passes
	get   string // what a request at that moment gets
	calls int    // of the token endpoint so far; 0: as many as the pauses allow
}

// The state machine of a renewal, as facts. docs/credentials.md shows the same
// table, which TestSituationsAreDocumented holds it to.
var situations = []situation{
	{"start", []moment{
		{0, "the first fetch takes 1 s", "a1 after 1s", 1},
		{time.Minute, "", "a1", 1},
	}},
	{"ahead of expiry", []moment{
		{0, "", "a1", 1},
		{4*time.Minute + 59*time.Second, "fetches take 2 s", "a1", 1},
		{5*time.Minute + 33*time.Second, "", "a2", 2},
		{9 * time.Minute, "", "a2", 2},
	}},
	{"renewal fails, then succeeds in time", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the endpoint fails", "a1", 1},
		{8 * time.Minute, "", "a1", 0},
		{8 * time.Minute, "the endpoint is back", "a1", 0},
		{9*time.Minute + time.Second, "", "a2", 0},
	}},
	{"renewal fails past expiry", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the endpoint fails", "a1", 1},
		{9*time.Minute + 54*time.Second, "", "a1", 0},
		{9*time.Minute + 55*time.Second, "", "503", 0},
		{40 * time.Minute, "", "503", 0},
		{40 * time.Minute, "the endpoint is back", "503", 0},
		{41*time.Minute + time.Second, "", "a2", 0},
	}},
	{"the endpoint hangs from the start", []moment{
		{0, "the endpoint hangs", "503 after 4.5s", 1},
		{4 * time.Second, "", "503 after 1s", 1},
		{6 * time.Second, "", "503", 1},
		{time.Minute, "the endpoint is back", "503", 0},
		{2*time.Minute + time.Second, "", "a1", 0},
	}},
	{"the endpoint hangs while a token is valid", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the endpoint hangs", "a1", 1},
		{9 * time.Minute, "", "a1", 0},
		{9*time.Minute + 56*time.Second, "", "503", 0},
	}},
	{"secret rotated while all is well", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the client secret rotates", "a1", 1},
		{5*time.Minute + 31*time.Second, "", "b2", 2},
	}},
	{"secret rotated while fetches fail", []moment{
		{0, "the client secret is wrong", "503", 1},
		{10 * time.Minute, "the client secret rotates", "b1", 0},
	}},
	{"secret gone", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the client secret is gone", "a1", 1},
		{9 * time.Minute, "", "a1", 1},
		{9*time.Minute + 55*time.Second, "", "503", 1},
	}},
	{"renewal asked for, as after an upstream's 401", []moment{
		{0, "", "a1", 1},
		{time.Second, "a refresh", "a2", 2},
		{2 * time.Second, "a refresh, refused: too soon", "a2", 2},
		{11 * time.Second, "a refresh", "a3", 3},
	}},
	{"renewal asked for in vain", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the endpoint fails", "a1", 1},
		{time.Minute, "a refresh, in vain", "a1", 2},
		{9*time.Minute + 55*time.Second, "", "503", 0},
	}},
	{"the first to wait gives up", []moment{
		{0, "the first fetch takes 1 s", "a1 after 1s", 1},
		{0, "another request leaves after 0.5 s", "a1 after 1s", 1},
	}},
	{"reload, credential unchanged", []moment{
		{0, "", "a1", 1},
		{time.Minute, "a reload keeps the credential", "a1", 1},
	}},
	{"reload, credential changed", []moment{
		{0, "", "a1", 1},
		{time.Minute, "a reload makes another credential, requests in flight have the old one", "a1", 2},
		{9*time.Minute + 54*time.Second, "", "a1", 0},
		{9*time.Minute + 55*time.Second, "", "503", 0},
	}},
	{"shutdown while a token is valid", []moment{
		{0, "", "a1", 1},
		{time.Minute, "the end", "a1", 1},
		{9*time.Minute + 55*time.Second, "", "503", 1},
	}},
	{"shutdown during the first fetch", []moment{
		{0, "the endpoint hangs", "503 after 1s", 1},
		{time.Second, "the end", "503", 1},
	}},
	{"a token of 1 s", []moment{
		{0, "tokens live 1 s", "a1", 1},
		{499 * time.Millisecond, "", "a1", 1},
		{551 * time.Millisecond, "the endpoint fails", "a2", 2},
		{1399 * time.Millisecond, "", "a2", 0},
		{1451 * time.Millisecond, "", "503", 0},
	}},
}

// events are what may happen, by the words the table has for it.
var events = map[string]func(*world){
	"the first fetch takes 1 s":          func(w *world) { w.takes = time.Second },
	"fetches take 2 s":                   func(w *world) { w.takes = 2 * time.Second },
	"the endpoint fails":                 func(w *world) { w.fails = true },
	"the endpoint hangs":                 func(w *world) { w.takes = time.Hour },
	"the endpoint is back":               func(w *world) { w.fails, w.takes = false, 0 },
	"the client secret is wrong":         func(w *world) { w.refused = "a" },
	"the client secret rotates":          func(w *world) { w.change("b") },
	"the client secret is gone":          func(w *world) { w.change("") },
	"a refresh":                          func(w *world) { w.refresh(nil) },
	"a refresh, in vain":                 func(w *world) { w.refresh(ErrUnavailable) },
	"a refresh, refused: too soon":       func(w *world) { w.refresh(ErrTooSoon) },
	"another request leaves after 0.5 s": (*world).leave,
	"a reload keeps the credential":      func(*world) {},
	"a reload makes another credential, requests in flight have the old one": (*world).replace,
	"the end":         func(w *world) { w.end() },
	"tokens live 1 s": func(w *world) { w.lifetime = time.Second },
}

func TestSituations(t *testing.T) {
	t.Parallel()
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { s.play(t) })
		})
	}
}

func (s situation) play(t *testing.T) {
	w := &world{t: t, lifetime: 10 * time.Minute}
	secret, change := watch(t, "a")
	w.change = change
	w.options = OAuth2Options{TokenURL: "https://auth.test/token", ClientSecret: secret, Client: &http.Client{Transport: w}}
	began := time.Now()
	for i, m := range s.moments {
		time.Sleep(time.Until(began.Add(m.at)))
		synctest.Wait()
		if m.event != "" {
			events[m.event](w)
		}
		if i == 0 {
			w.start()
		}
		synctest.Wait()
		w.mu.Lock()
		if calls := w.calls; m.calls != 0 && calls != m.calls {
			t.Errorf("at %s: %d token calls, want %d", m.at, calls, m.calls)
		}
		w.mu.Unlock()
		w.all.Go(func() {
			if got := w.get(); got != m.get {
				t.Errorf("at %s a request gets %s, want %s", m.at, got, m.get)
			}
		})
		synctest.Wait()
	}
	w.all.Wait()
	w.end()
}

// TestSituationsAreDocumented holds docs/credentials.md to the table above, and
// to the one of lifetimes.
func TestSituationsAreDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{situationTable(), lifetimeTable()} {
		if !strings.Contains(string(docs), table) {
			t.Errorf("docs/credentials.md has not this table:\n%s", table)
		}
	}
}

func situationTable() string {
	var b strings.Builder
	b.WriteString("| situation | at | what happens | a request gets | token calls so far |\n|---|---|---|---|---|\n")
	for _, s := range situations {
		name := s.name
		for _, m := range s.moments {
			calls := "backing off"
			if m.calls > 0 {
				calls = fmt.Sprint(m.calls)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, brief(m.at), m.event, m.get, calls)
			name = ""
		}
	}
	return b.String()
}

// brief writes 5m0s as 5m.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
