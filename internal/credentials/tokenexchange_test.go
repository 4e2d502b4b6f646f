package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// newExchange returns a credential whose clock the test moves.
func newExchange(t *testing.T, o OAuth2Options) (x *TokenExchange, forward func(time.Duration)) {
	t.Helper()
	o.Name, o.Placement, o.ClientID = "obo", bearer(), "gateway"
	if o.ClientSecret == nil {
		o.ClientSecret = fixed("client-secret")
	}
	var ahead atomic.Int64
	start := time.Now()
	o.Now = func() time.Time { return start.Add(time.Duration(ahead.Load())) }
	x, err := NewTokenExchange(o)
	if err != nil {
		t.Fatal(err)
	}
	return x, func(d time.Duration) { ahead.Add(int64(d)) }
}

// by is a request of the caller with this token, good for an hour from now.
func by(t *testing.T, token string) context.Context {
	return WithCaller(t.Context(), Caller{secrets.NewSecret(token), time.Now().Add(time.Hour)})
}

func valueFor(t *testing.T, x *TokenExchange, token string) string {
	t.Helper()
	value, err := x.Value(by(t, token))
	if err != nil {
		t.Fatal(err)
	}
	return value.Reveal()
}

// exchanger answers each subject token with one of its own, numbered.
func exchanger(seconds int) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		writeToken(w, fmt.Sprintf("for-%s-%d", r.PostFormValue("subject_token"), n.Add(1)), seconds)
	}
}

// RFC 8693, section 2.1.
func TestRequestIsTheTokenExchangeGrant(t *testing.T) {
	t.Parallel()
	var got http.Request
	server, _ := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = *r
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"exchanged","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}`)
	})
	x, _ := newExchange(t, OAuth2Options{TokenURL: server.URL, Scopes: []string{"read"}, Audience: "crm", Resource: "https://crm.example.com/"})
	if v := valueFor(t, x, "mine"); v != "exchanged" {
		t.Errorf("Value = %s", v)
	}
	const want = "audience=crm&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&resource=https%3A%2F%2Fcrm.example.com%2F&scope=read" +
		"&subject_token=mine&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
	if form := got.PostForm.Encode(); form != want {
		t.Errorf("\n got %s\nwant %s", form, want)
	}
	if user, password, _ := got.BasicAuth(); user != "gateway" || password != "client-secret" {
		t.Errorf("client %s:%s", user, password)
	}
	x, _ = newExchange(t, OAuth2Options{TokenURL: server.URL, Parameters: map[string]string{"subject_token_type": typeJWT}})
	valueFor(t, x, "mine")
	if kinds := got.PostForm["subject_token_type"]; len(kinds) != 1 || kinds[0] != typeJWT {
		t.Errorf("subject_token_type %v", kinds)
	}
}

func TestEachCallerHasOneExchangeOfTheirOwn(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, exchanger(300))
	x, _ := newExchange(t, OAuth2Options{TokenURL: server.URL})
	alice, bob := valueFor(t, x, "alice"), valueFor(t, x, "bob")
	if !strings.HasPrefix(alice, "for-alice-") || !strings.HasPrefix(bob, "for-bob-") {
		t.Fatalf("alice has %s, bob %s", alice, bob)
	}
	for range 100 {
		if valueFor(t, x, "alice") != alice || valueFor(t, x, "bob") != bob {
			t.Fatal("another token")
		}
	}
	if asked.Load() != 2 {
		t.Errorf("%d exchanges, want 2", asked.Load())
	}
}

func TestRequestsOfOneCallerShareAnExchange(t *testing.T) {
	t.Parallel()
	begun, answer := make(chan struct{}), make(chan struct{})
	server, asked := startEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-answer
		writeToken(w, "exchanged", 300)
	})
	x, _ := newExchange(t, OAuth2Options{TokenURL: server.URL})
	ctx, leave := context.WithCancel(by(t, "alice"))
	first := make(chan error, 1)
	go func() { _, err := x.Value(ctx); first <- err }()
	<-begun
	leave() // takes no one's exchange along
	if err := <-first; !errors.Is(err, ErrUnavailable) {
		t.Errorf("who left: %v", err)
	}
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if v, err := x.Value(by(t, "alice")); err != nil || v.Reveal() != "exchanged" {
				t.Errorf("Value = %v", err)
			}
		})
	}
	close(answer)
	all.Wait()
	if asked.Load() != 1 {
		t.Errorf("%d exchanges, want 1", asked.Load())
	}
}

func TestExchangedTokenServesNeitherPastItsOwnExpiryNorTheCallers(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, exchanger(100))
	x, forward := newExchange(t, OAuth2Options{TokenURL: server.URL, RefreshBefore: time.Nanosecond})
	caller := Caller{secrets.NewSecret("alice"), x.now().Add(150 * time.Second)}
	ctx := WithCaller(t.Context(), caller)
	value := func() string {
		v, err := x.Value(ctx)
		if err != nil {
			return err.Error()
		}
		return v.Reveal()
	}
	for _, step := range []struct {
		after time.Duration // since the step before
		want  string
	}{
		{0, "for-alice-1"},
		{89 * time.Second, "for-alice-1"},
		{6 * time.Second, "for-alice-2"}, // 5 s before its own expiry
		{54 * time.Second, "for-alice-2"},
		{time.Second, "credential obo: unavailable: the caller's token has expired"},
	} {
		if forward(step.after); value() != step.want {
			t.Errorf("after %s: %s, want %s", step.after, value(), step.want)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("%d exchanges, want 2", asked.Load())
	}
}

func TestExchangedTokenIsRenewedBehindTheCallersRequests(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{}, 2)
	exchange := exchanger(600)
	server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		exchange(w, r)
	})
	hold <- struct{}{}
	x, forward := newExchange(t, OAuth2Options{TokenURL: server.URL})
	if v := valueFor(t, x, "alice"); v != "for-alice-1" {
		t.Fatal(v)
	}
	forward(301 * time.Second)
	for range 100 { // none waits for the renewal, and all together begin one
		if v := valueFor(t, x, "alice"); v != "for-alice-1" {
			t.Fatal(v)
		}
	}
	hold <- struct{}{}
	await(t, "the new token", func() bool { return valueFor(t, x, "alice") == "for-alice-2" })
	if asked.Load() != 2 {
		t.Errorf("%d exchanges, want 2", asked.Load())
	}
}

// A caller whom the endpoint refuses is not asked for again at once, and keeps no
// other out.
func TestRefusedCallerKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]http.HandlerFunc{
		"an invalid token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_request","error_description":"canary"}`)
		},
		"a fault of the endpoint's": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary", http.StatusInternalServerError) },
		"another kind of token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"canary","issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token","token_type":"Bearer"}`)
		},
		"a token that is no bearer's": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"canary","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"N_A"}`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/canary", http.StatusTemporaryRedirect)
		},
		"a line break": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"canary\r\nX: y","token_type":"Bearer"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exchange := exchanger(300)
			server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if r.PostFormValue("subject_token") == "mallory" {
					refuse(w, r)
					return
				}
				exchange(w, r)
			})
			log := new(peertest.Buffer)
			x, forward := newExchange(t, OAuth2Options{TokenURL: server.URL, Log: slog.New(slog.NewTextHandler(log, nil))})
			for range 50 {
				if _, err := x.Value(by(t, "mallory")); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "mallory") {
					t.Fatalf("Value = %v", err)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("%d exchanges for the refused caller, want 1", asked.Load())
			}
			valueFor(t, x, "alice")
			if s := x.Status(); !s.Ready {
				t.Errorf("status %+v", s)
			}
			forward(refusedFor)
			if _, err := x.Value(by(t, "mallory")); err == nil || asked.Load() != 3 {
				t.Errorf("later: %v, %d exchanges", err, asked.Load())
			}
			for _, leaked := range []string{"canary", "mallory", "for-alice", "client-secret"} {
				if strings.Contains(log.String(), leaked) {
					t.Errorf("the log shows %s:\n%s", leaked, log.String())
				}
			}
		})
	}
}

func TestEndpointThatFailsIsAskedByOneAtATime(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	exchange := exchanger(300)
	server, asked := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		exchange(w, r)
	})
	registry := prometheus.NewRegistry()
	x, forward := newExchange(t, OAuth2Options{TokenURL: server.URL, Metrics: NewMetrics(registry)})
	alice := valueFor(t, x, "alice")
	down.Store(true)
	for i := range 50 {
		if _, err := x.Value(by(t, fmt.Sprint("caller", i))); !errors.Is(err, ErrUnavailable) || RetryAfter(err) > 2*time.Second {
			t.Fatalf("Value = %v", err)
		}
	}
	if asked.Load() != 2 || valueFor(t, x, "alice") != alice {
		t.Errorf("%d exchanges, want 2", asked.Load())
	}
	if s := x.Status(); !s.Ready || s.ConsecutiveFailures != 1 || !strings.Contains(s.LastError, "invalid_client") {
		t.Errorf("status %+v", s) // ready, or nothing would ever find out that it is back
	}
	down.Store(false)
	forward(2 * time.Second)
	valueFor(t, x, "bob")
	if s := x.Status(); s.ConsecutiveFailures != 0 || s.LastError != "" {
		t.Errorf("status %+v", s)
	}
	all := gather(t, registry)
	if all[`gateway_credential_refreshes_total{credential="obo",result="success"}`] != 2 || all[`gateway_credential_failures_total{credential="obo",reason="refused"}`] != 1 {
		t.Errorf("metrics %v", all)
	}
}

func TestRotatedClientSecretIsTriedForExchangesAtOnce(t *testing.T) {
	t.Parallel()
	server, _ := startEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret != "two" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		writeToken(w, "exchanged", 300)
	})
	secret, change := watch(t, "")
	x, _ := newExchange(t, OAuth2Options{TokenURL: server.URL, ClientSecret: secret})
	if s := x.Status(); s.Ready {
		t.Errorf("ready without a secret: %+v", s)
	}
	change("one")
	if _, err := x.Value(by(t, "alice")); err == nil {
		t.Fatal("a wrong secret")
	}
	change("two")
	valueFor(t, x, "alice")
}

func TestCallerWithoutATokenGetsNone(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, exchanger(300))
	x, _ := newExchange(t, OAuth2Options{TokenURL: server.URL})
	valueFor(t, x, "alice")
	for name, ctx := range map[string]context.Context{
		"nobody":         t.Context(),
		"an API key":     WithCaller(t.Context(), Caller{}),
		"an old token's": WithCaller(t.Context(), Caller{secrets.NewSecret("bob"), time.Now().Add(-time.Second)}),
	} {
		if v, err := x.Value(ctx); !errors.Is(err, ErrUnavailable) || !v.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d exchanges, want 1", asked.Load())
	}
}

func TestRefusedTokenIsExchangedAnewOnceIn10Seconds(t *testing.T) {
	t.Parallel()
	server, asked := startEndpoint(t, exchanger(3600))
	x, forward := newExchange(t, OAuth2Options{TokenURL: server.URL})
	valueFor(t, x, "alice")
	valueFor(t, x, "bob")
	if err := x.Refresh(by(t, "alice")); err != nil {
		t.Fatal(err)
	}
	if v := valueFor(t, x, "alice"); v != "for-alice-3" {
		t.Errorf("after the refresh: %s", v)
	}
	if err := x.Refresh(by(t, "alice")); !errors.Is(err, ErrTooSoon) {
		t.Errorf("again: %v", err)
	}
	forward(refreshPause)
	if err := x.Refresh(by(t, "alice")); err != nil || asked.Load() != 4 {
		t.Errorf("later: %v, %d exchanges", err, asked.Load())
	}
	if v := valueFor(t, x, "bob"); v != "for-bob-2" {
		t.Errorf("bob has %s", v)
	}
	if err := x.Refresh(t.Context()); err != nil { // the operator's: all are forgotten
		t.Fatal(err)
	}
	if v := valueFor(t, x, "bob"); v != "for-bob-5" {
		t.Errorf("bob has %s", v)
	}
	if err := x.Refresh(t.Context()); !errors.Is(err, ErrTooSoon) {
		t.Errorf("again: %v", err)
	}
}

func TestCallersAreKeptInBoundedNumber(t *testing.T) {
	t.Parallel()
	c, now := newCallers(2), time.Now()
	keys := make([]hash, 3)
	for i := range keys {
		keys[i] = c.key(Caller{Token: secrets.NewSecret(fmt.Sprint(i))})
		c.put(keys[i], &exchanged{lease: lease{until: now.Add(time.Hour)}, renew: now.Add(time.Hour)})
	}
	for i, want := range []bool{false, true, true} {
		if kept, _, _ := c.get(keys[i], now); (kept != nil) != want {
			t.Errorf("caller %d: kept %v, want %v", i, kept != nil, want)
		}
	}
	if other := newCallers(2); other.key(Caller{Token: secrets.NewSecret("0")}) == keys[0] {
		t.Error("the hash has no key of its own")
	}
}
