package auth

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A fetch that fails, or brings nothing, takes nothing away; keys stand until
// MaxStale after the last good one.
func TestFailuresKeepTheKeysUntilMaxStale(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	raw := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	weak := jwk(t, good, map[string]any{"use": "enc"})
	for name, answer := range map[string]http.HandlerFunc{
		"status 500":    fail(500),
		"status 204":    fail(204),
		"status 304":    fail(304),
		"status 401":    fail(401),
		"no keys":       serve([]byte(`{"keys":[]}`)),
		"no usable key": serve(setOf(t, weak)),
		"empty":         serve(nil),
		"not JSON":      serve([]byte("canary")),
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<!DOCTYPE html><title>Sign in</title>"))
		},
		"over 512 KiB":  serve([]byte(`{"keys":[` + strings.Repeat(" ", 512<<10) + `]}`)),
		"over 100 keys": serve([]byte(`{"keys":[` + strings.Repeat("0,", 100) + `0]}`)),
		"redirects on":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) },
		"no HTTP at all": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = c.Write([]byte("canary\r\n\r\n"))
			c.Close()
		},
		"closes the line": func(w http.ResponseWriter, _ *http.Request) { c, _, _ := w.(http.Hijacker).Hijack(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newKeySetTest(t, KeySetOptions{MaxStale: time.Hour}, serve(setOf(t, jwk(t, good, nil))))
				defer running(t, s.set)()
				synctest.Wait()
				s.idp.set(answer)
				time.Sleep(time.Hour)
				synctest.Wait()
				s.want(raw, "")
				if status := s.set.Status(); !status.Ready || status.Err == "" || status.Age != time.Hour || status.Keys != 1 || status.URL != "http://idp/jwks" {
					t.Errorf("%+v", status)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				s.want(raw, "keys_unavailable")
				if status := s.set.Status(); status.Ready {
					t.Errorf("%+v", status)
				}
				if s.log.count("the last known go on") != 1 || s.log.count("no longer used") != 1 {
					t.Errorf("log: %s", s.log)
				}
				if all := s.log.String() + s.set.Status().Err; strings.Contains(all, "canary") {
					t.Errorf("log or status tell what the peer sent, or the URL's secrets: %s", all)
				}
				s.idp.set(serve(setOf(t, jwk(t, good, nil))))
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				s.want(raw, "")
			})
		})
	}
}

func TestWithoutLimitKeysNeverGrowStale(t *testing.T) {
	t.Parallel()
	good := signer(t, privatePEM(t, newECKey(t)), "ES256", "1")
	raw := sign(t, good, claims(map[string]any{"exp": 4000000000}))
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{MaxStale: -1}, serve(setOf(t, jwk(t, good, nil))))
		defer running(t, s.set)()
		synctest.Wait()
		s.idp.set(fail(500))
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		s.want(raw, "")
	})
}

func TestHTMLIsNamedAsSuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeySetTest(t, KeySetOptions{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<!DOCTYPE html>")) })
		err := s.set.Fetch(t.Context())
		if want := "key set http://idp/jwks: answers text/html, not a JWKS"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}
