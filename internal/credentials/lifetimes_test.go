package credentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// What a token endpoint may say of a token's lifetime, and how long the token is
// used: until when it is given out, and when it is renewed, to a tenth of the
// time before. No time at all: it is refused.
var lifetimes = []struct {
	name, expiresIn string
	used            time.Duration
	renewed         [2]time.Duration
}{
	{"1 second", `1`, 900 * time.Millisecond, [2]time.Duration{500 * time.Millisecond, 550 * time.Millisecond}},
	{"5 seconds", `5`, 4500 * time.Millisecond, [2]time.Duration{2500 * time.Millisecond, 2750 * time.Millisecond}},
	{"5 minutes", `300`, 295 * time.Second, [2]time.Duration{150 * time.Second, 165 * time.Second}},
	{"24 hours", `86400`, 24*time.Hour - 5*time.Second, [2]time.Duration{24*time.Hour - 5*time.Minute, 24*time.Hour - 270*time.Second}},
	{"missing", ``, 295 * time.Second, [2]time.Duration{150 * time.Second, 165 * time.Second}},
	{"null", `null`, 295 * time.Second, [2]time.Duration{150 * time.Second, 165 * time.Second}},
	{"digits in a string", `"3600"`, time.Hour - 5*time.Second, [2]time.Duration{55 * time.Minute, 55*time.Minute + 30*time.Second}},
	{"10^18", `1000000000000000000`, 24*time.Hour - 5*time.Second, [2]time.Duration{24*time.Hour - 5*time.Minute, 24*time.Hour - 270*time.Second}},
	{"0", `0`, 0, [2]time.Duration{}},
	{"negative", `-60`, 0, [2]time.Duration{}},
	{"another string", `"an hour"`, 0, [2]time.Duration{}},
}

func lifetimeTable() string {
	var b strings.Builder
	b.WriteString("| `expires_in` | used for | renewed after |\n|---|---|---|\n")
	for _, l := range lifetimes {
		if l.used == 0 {
			fmt.Fprintf(&b, "| %s | refused | |\n", l.name)
		} else {
			fmt.Fprintf(&b, "| %s | %s | %s to %s |\n", l.name, brief(l.used), brief(l.renewed[0]), brief(l.renewed[1]))
		}
	}
	return b.String()
}

// answering is a token endpoint that says the same each time.
type answering struct {
	body  string
	calls atomic.Int64
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls.Add(1)
	return &http.Response{StatusCode: http.StatusOK, Header: jsonHeader(), Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	for _, tt := range lifetimes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &answering{body: `{"access_token":"token","expires_in":` + tt.expiresIn + `}`}
				if tt.expiresIn == "" {
					endpoint.body = `{"access_token":"token"}`
				}
				c := newOAuth2(t, OAuth2Options{TokenURL: "https://auth.test/token", ClientSecret: fixed("s"), Client: &http.Client{Transport: endpoint}})
				start(t, c)
				synctest.Wait()
				if tt.used == 0 {
					if _, err := c.Value(t.Context()); !errors.Is(err, ErrUnavailable) || reasonOf(err) != reasonLifetime {
						t.Errorf("Value = %v, want it refused for its lifetime", err)
					}
					return
				}
				if l := c.renewal.current.Load(); time.Until(l.until) != tt.used {
					t.Errorf("used for %s, want %s", time.Until(l.until), tt.used)
				}
				time.Sleep(tt.renewed[0] - time.Nanosecond)
				synctest.Wait()
				if n := endpoint.calls.Load(); n != 1 {
					t.Errorf("%d fetches before %s", n, tt.renewed[0])
				}
				time.Sleep(tt.renewed[1] - tt.renewed[0] + 2*time.Nanosecond)
				synctest.Wait()
				if n := endpoint.calls.Load(); n != 2 {
					t.Errorf("%d fetches after %s, want 2", n, tt.renewed[1])
				}
			})
		})
	}
}

// The machine's clock is set, ahead and back by an hour, in the middle of a
// lifetime: it neither shortens nor prolongs it, and causes no fetch.
func TestSettingTheClockChangesNoLifetime(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var set atomic.Bool
			endpoint := &answering{body: `{"access_token":"token","expires_in":2}`} // in real time: a bubble has one clock alone
			c := newOAuth2(t, OAuth2Options{
				TokenURL: "https://auth.test/token", ClientSecret: fixed("s"), Client: &http.Client{Transport: endpoint},
				Now: func() time.Time {
					now := time.Now()
					if set.Load() {
						setWall(&now, jump)
					}
					return now
				},
			})
			start(t, c)
			mustHave(t, c, "token")
			l := c.renewal.current.Load()
			set.Store(true)
			if wall := time.Until(c.renewal.now().Round(0)); wall < jump-time.Minute || wall > jump+time.Minute {
				t.Fatalf("the clock was set by %s, want %s", wall, jump)
			}
			if left := l.until.Sub(c.renewal.now()); left < time.Second || left > 2*time.Second {
				t.Errorf("%s left of 2 s", left)
			}
			mustHave(t, c, "token")
			if n := endpoint.calls.Load(); n != 1 {
				t.Errorf("%d fetches, want 1", n)
			}
			await(t, "the renewal at its time", func() bool { return endpoint.calls.Load() == 2 })
			if age := time.Since(l.expires.Add(-2 * time.Second)); age < 900*time.Millisecond || age > 1800*time.Millisecond {
				t.Errorf("renewed after %s, want about a second", age)
			}
		})
	}
}

// setWall moves what t has of the wall clock, as setting the machine's clock
// does, and not its monotonic reading. Nothing else can: a Time's seconds since
// 1885 stand above its nanoseconds' 30 bits, in its first word.
func setWall(t *time.Time, by time.Duration) {
	*(*int64)(unsafe.Pointer(t)) += int64(by/time.Second) << 30
}
