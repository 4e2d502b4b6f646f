package demo_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/demo"
)

func TestKeySetIsFetchedLazilyAndKept(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().Unix())
	first, is := startIssuer(t, demo.IssuerOptions{})
	second, err := demo.NewIssuer(demo.IssuerOptions{URL: is.URL})
	if err != nil {
		t.Fatal(err)
	}
	var fetches, status atomic.Int64
	var serves atomic.Pointer[demo.Issuer]
	serves.Store(first)
	status.Store(http.StatusOK)
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if s := int(status.Load()); s != http.StatusOK {
			w.WriteHeader(s)
			return
		}
		serves.Load().ServeHTTP(w, r)
	}))
	defer jwks.Close()
	legacy := startLegacy(t, demo.LegacyOptions{
		JWKSURL: jwks.URL + "/jwks", TokenIssuer: is.URL, Now: func() time.Time { return time.Unix(now.Load(), 0) },
	})
	ask := func(step string, issuer *demo.Issuer, wantStatus int, wantFetches int64) {
		t.Helper()
		raw := mintCRM(t, issuer, demo.MintOptions{Lifetime: time.Hour})
		if got := get(t, legacy.URL+"/crm", http.Header{"Authorization": {"Bearer " + raw}}).status; got != wantStatus || fetches.Load() != wantFetches {
			t.Errorf("%s: answered %d after %d fetches, want %d after %d", step, got, fetches.Load(), wantStatus, wantFetches)
		}
	}
	status.Store(http.StatusBadGateway)
	ask("no keys to be had", first, 503, 1)
	ask("at once again", first, 503, 1)
	status.Store(http.StatusOK)
	now.Add(1)
	ask("a second later", first, 200, 2)
	ask("the same keys serve on", first, 200, 2)
	ask("a key just not there", second, 401, 2)
	serves.Store(second)
	now.Add(1)
	ask("the new key is fetched", second, 200, 3)
	now.Add(301)
	status.Store(http.StatusBadGateway)
	ask("keys grown old, and no others to be had", second, 503, 4)
	status.Store(http.StatusOK)
	now.Add(1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, legacy.URL+"/crm", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+mintCRM(t, second, demo.MintOptions{Lifetime: time.Hour}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			res, err := http.DefaultClient.Do(req.Clone(t.Context()))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("one of many at once is answered %d", res.StatusCode)
			}
		})
	}
	wg.Wait()
	if got := fetches.Load(); got != 5 {
		t.Errorf("many at once made %d fetches, want 1", got-4)
	}
}
