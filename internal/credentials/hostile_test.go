package credentials

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/peertest"
)

// The row "internal network" of the threat model, and section 6 of the contract.
func TestRedirectsAreNotFollowedWithCredentials(t *testing.T) {
	t.Parallel()
	elsewhere, followed := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, "stolen", 3600) })
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		server, _ := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			writeTokenWith(w, status)
		})
		c := newOAuth2(t, OAuth2Options{TokenURL: server.URL, ClientAuth: "post"})
		if _, _, err := c.fetch(t.Context()); err == nil {
			t.Errorf("%d: taken", status)
		}
	}
	if followed.Load() != 0 {
		t.Errorf("%d redirects were followed", followed.Load())
	}
}

func writeTokenWith(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"access_token":"canary-token","expires_in":60}`)
}

// The cases oauth-01 to oauth-05 and oauth-11 over a socket: whatever the
// endpoint sends, there is no token, and nothing of it in any text.
func TestNothingAnEndpointSendsIsTold(t *testing.T) {
	t.Parallel()
	const secret = "canary-secret"
	write := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		reason string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "canary-trace")
		}, reasonRefused},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/canary-location", http.StatusTemporaryRedirect)
		}, reasonRedirect},
		"a login page":           {write("text/html", "<html>canary-body</html>"), reasonFormat},
		"an error":               {write("application/json", `{"error":"canary-code","error_description":"canary-text","error_uri":"canary-uri"}`), reasonRefused},
		"nothing":                {write("application/json", ""), reasonFormat},
		"nothing at all":         {func(http.ResponseWriter, *http.Request) {}, reasonFormat},
		"an array":               {write("application/json", `["canary-token"]`), reasonFormat},
		"a token with a line":    {write("application/json", `{"access_token":"canary-token\r\nX-Admin: 1"}`), reasonToken},
		"a token with a NUL":     {write("application/json", `{"access_token":"canary-token\u0000"}`), reasonToken},
		"a token of DPoP":        {write("application/json", `{"access_token":"canary-token","token_type":"DPoP"}`), reasonType},
		"a negative lifetime":    {write("application/json", `{"access_token":"canary-token","expires_in":-1}`), reasonLifetime},
		"2 MiB":                  {write("application/json", `{"access_token":"canary-token","x":"`+strings.Repeat("canary-x", 256<<10)+`"}`), reasonTooLarge},
		"an endless answer":      {endless, reasonTooLarge},
		"a bomb":                 {bomb(), reasonFormat},
		"no HTTP":                {raw("canary-body\r\n\r\n"), reasonProtocol},
		"a status of its own":    {raw("HTTP/1.1 canary-status\r\n\r\n"), reasonProtocol},
		"a reason of its own":    {raw("HTTP/1.1 400 canary-reason\r\nContent-Length: 0\r\n\r\n"), reasonRefused},
		"a header without colon": {raw("HTTP/1.1 200 OK\r\ncanary-header\r\n\r\n"), reasonProtocol},
		"an endless header":      {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("canary-x", 256<<10)), reasonProtocol},
		"no answer":              {raw(""), reasonNetwork},
		"an end too soon":        {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"access_token\":\"canary-token\""), reasonNetwork},
		"broken chunks":          {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\ncanary-size\r\n"), reasonProtocol},
		"the secret, returned": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, r.Header, r.FormValue("client_secret"))
		}, reasonRefused},
	} {
		for _, auth := range []string{"basic", "post"} {
			t.Run(name+", "+auth, func(t *testing.T) {
				t.Parallel()
				server, _ := startEndpoint(t, tt.handle)
				log := new(peertest.Buffer)
				registry := prometheus.NewRegistry()
				events := make(chan Event, 100)
				c := newOAuth2(t, OAuth2Options{
					OnEvent:  func(e Event) { events <- e },
					TokenURL: server.URL + "/?canary-query=1", ClientSecret: fixed(secret), ClientAuth: auth,
					Log:     slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
					Metrics: NewMetrics(registry),
				})
				start(t, c)
				await(t, "the failure", func() bool { return c.Status().ConsecutiveFailures > 0 })
				got, err := c.Value(t.Context())
				if !errors.Is(err, ErrUnavailable) || !got.Empty() {
					t.Fatalf("Value = %v, want ErrUnavailable", err)
				}
				if _, ok := errors.AsType[*endpointError](err); !ok {
					t.Errorf("Value = %v, which does not wrap an endpointError", err)
				}
				event := <-events // the log line stands before it
				if event.Reason != tt.reason || !strings.Contains(log.String(), `"reason":"`+tt.reason+`"`) {
					t.Errorf("the reason is %q, want %s; log: %s", event.Reason, tt.reason, log.String())
				}
				series := gather(t, registry)
				if n := series[fmt.Sprintf(`gateway_credential_failures_total{credential="crm",reason=%q}`, tt.reason)]; n < 1 {
					t.Errorf("metrics: %v", series)
				}
				text := fmt.Sprintf("%v %+v %#v %s %v %+v", err, err, c.Status(), log.String(), series, event)
				for _, canary := range []string{"canary", base64.StdEncoding.EncodeToString([]byte("gateway:" + secret)), "X-Admin"} {
					if strings.Contains(text, canary) {
						t.Errorf("%q is told: %s", canary, text)
					}
				}
			})
		}
	}
}

func TestTokenIsNotToldWhenAllIsWell(t *testing.T) {
	t.Parallel()
	server, _ := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, "canary-token", 3600) })
	log := new(peertest.Buffer)
	registry := prometheus.NewRegistry()
	c := newOAuth2(t, OAuth2Options{
		TokenURL: server.URL, ClientSecret: fixed("canary-secret"),
		Log:     slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: NewMetrics(registry),
	})
	start(t, c)
	mustHave(t, c, "canary-token")
	await(t, "the log line", func() bool { return strings.Contains(log.String(), "credential renewed") })
	got, _ := c.Value(t.Context())
	series := gather(t, registry)
	text := fmt.Sprintf("%#v %s %+v %v", c.Status(), log.String(), got, series)
	if strings.Contains(text, "canary") {
		t.Errorf("a canary is told: %s", text)
	}
	if series[`gateway_credential_refreshes_total{credential="crm",result="success"}`] != 1 ||
		series[`gateway_credential_refreshes_total{credential="crm",result="failure"}`] != 0 {
		t.Errorf("metrics: %v", series)
	}
	left := series[`gateway_credential_expiry_timestamp_seconds{credential="crm"}`] - float64(time.Now().Unix())
	if left < 3500 || left > 3601 {
		t.Errorf("the metric of the expiry is %g s from now, want an hour", left)
	}
}

// The case oauth-02 over a socket.
func TestEndpointThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server, _ := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush() // the head comes, the body does not
		<-release
	})
	defer close(release)
	c := newOAuth2(t, OAuth2Options{TokenURL: server.URL})
	start(t, c)
	began := time.Now()
	_, err := c.Value(t.Context())
	if took := time.Since(began); !errors.Is(err, ErrUnavailable) || took >= 5*time.Second {
		t.Errorf("Value = %v after %s, want ErrUnavailable within 5 s", err, took)
	}
	await(t, "the failure", func() bool { return c.Status().ConsecutiveFailures == 1 })
	if got := c.Status().LastError; !strings.HasSuffix(got, "no answer in time") {
		t.Errorf("LastError = %s", got)
	}
}

func TestEndpointThatIsNotThereIsToldByKind(t *testing.T) {
	t.Parallel()
	gone, _ := startEndpoint(t, nil)
	gone.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	trusting := secure.Client()
	trusting.Transport.(*http.Transport).TLSClientConfig.ServerName = "other.test"
	plain, _ := startEndpoint(t, nil)
	wary := httptest.NewUnstartedServer(http.NotFoundHandler())
	wary.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	wary.Config.ErrorLog = secure.Config.ErrorLog
	wary.StartTLS()
	t.Cleanup(wary.Close)
	for name, tt := range map[string]struct {
		url    string
		client *http.Client
		want   string
	}{
		"refused":         {gone.URL, nil, "connection refused"},
		"not trusted":     {secure.URL, nil, "its certificate is not trusted"},
		"of another name": {secure.URL, trusting, "its certificate is for another name"},
		"not TLS":         {"https" + strings.TrimPrefix(plain.URL, "http"), nil, "it does not speak TLS"},
		"wants ours":      {wary.URL, wary.Client(), "it refused our side of TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newOAuth2(t, OAuth2Options{TokenURL: tt.url, Client: tt.client})
			_, _, err := c.fetch(t.Context())
			if want := "token endpoint: " + tt.want; err == nil || err.Error() != want {
				t.Errorf("fetch = %v, want %s", err, want)
			}
		})
	}
}

// endless sends more than any answer may have.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, `{"access_token":"canary-token","x":"`)
	for junk := strings.Repeat("canary", 10_000); err == nil; {
		_, err = io.WriteString(w, junk)
	}
}

// bomb returns what sends 64 MiB as 64 KiB, to whoever did not ask for it.
func bomb() http.HandlerFunc {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"access_token":"canary-token","x":"`)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

// raw answers with the bytes given, and ends the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}
