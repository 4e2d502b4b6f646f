package secrets_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// What each fault says, what is in use meanwhile, and how soon all is well
// again after it.
func TestVaultOutageKeepsTheLastValueAndEndsWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(*peertest.FaultProxy)
		word  string
	}{
		"cut":     {(*peertest.FaultProxy).Cut, "connection"},
		"hanging": {(*peertest.FaultProxy).Hang, "no answer within 5s"},
		"slow":    {func(p *peertest.FaultProxy) { p.Delay(6 * time.Second) }, "no answer within 5s"},
		"garbled": {(*peertest.FaultProxy).Corrupt, "not Vault, or its answer was garbled"},
		"cut off": {func(p *peertest.FaultProxy) { p.CutAfter(400) }, "connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := peertest.Vault(t)
			put(t, peer, "a", fields{"value": "before"})
			role := newRole(t, peer, nil)
			proxy := peertest.NewFaultProxy(t, peer.Address)
			v := newVault(t, "http://"+proxy.Address, role.login(new(lines)))
			alive(t, v)
			store := secrets.NewStore(v, secrets.Options{Refresh: 200 * time.Millisecond})
			value := store.Watch(secrets.Reference{Path: "a"})
			must(t, store.Fetch(t.Context()))
			run(t, store)
			assertValue(t, value, "before")
			c.fault(proxy)
			within(t, 10*time.Second, "the outage", func() bool { return store.Status()[0].Error == "unavailable" })
			assertFails(t, v, "a", c.word, secrets.ErrUnavailable)
			assertValue(t, value, "before")
			put(t, peer, "a", fields{"value": "after"})
			proxy.Normal()
			took := within(t, 5*time.Second, "the end of the outage", func() bool {
				got, err := value.Get()
				return err == nil && got.Reveal() == "after"
			})
			t.Logf("back after %v", took.Round(time.Millisecond))
		})
	}
}

// As above, but at the usual refresh and when the outage has lasted: reads have
// become as rare as they get.
func TestVaultComesBackWithinFiveSecondsOfALongOutage(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	faults := map[string]func(*peertest.FaultProxy){
		"cut": (*peertest.FaultProxy).Cut, "hanging": (*peertest.FaultProxy).Hang, "garbled": (*peertest.FaultProxy).Corrupt,
		"slow": func(p *peertest.FaultProxy) { p.Delay(6 * time.Second) }, "cut off": func(p *peertest.FaultProxy) { p.CutAfter(400) },
	}
	values, proxies := make(map[string]*secrets.Value), make(map[string]*peertest.FaultProxy)
	for name, fault := range faults {
		proxies[name] = peertest.NewFaultProxy(t, peer.Address)
		fault(proxies[name])
		v := newVault(t, "http://"+proxies[name].Address, role.login(new(lines)))
		alive(t, v)
		store := secrets.NewStore(v, secrets.Options{})
		values[name] = store.Watch(secrets.Reference{Path: "a"})
		run(t, store)
	}
	time.Sleep(9 * time.Second) // what is tested is that time goes by
	for name, proxy := range proxies {
		assertNone(t, values[name], secrets.ErrUnavailable)
		proxy.Normal()
	}
	began := time.Now()
	for name, value := range values {
		within(t, 5*time.Second-time.Since(began), name, func() bool { _, err := value.Get(); return err == nil })
		t.Logf("%s: back after at most %v", name, time.Since(began).Round(time.Millisecond))
	}
}

func TestVaultDownAtStartAndWhileRunning(t *testing.T) {
	t.Parallel()
	peer := peertest.VaultSealed(t)
	peer.Init(t)
	peer.Unseal(t)
	peer.Do(t, http.MethodPut, "sys/mounts/secret", fields{"type": "kv", "options": fields{"version": "2"}})
	within(t, 10*time.Second, "the mount", func() bool {
		return mounted(t, peer)
	})
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, fields{"token_ttl": "2s"})
	peer.Stop()
	v := newVault(t, peer.Address, role.login(new(lines)))
	alive(t, v)
	store := secrets.NewStore(v, secrets.Options{Refresh: 200 * time.Millisecond, MaxStale: 3 * time.Second})
	value := store.Watch(secrets.Reference{Path: "a"})
	run(t, store)
	for _, when := range []string{"at start", "while running"} {
		within(t, 5*time.Second, "the outage", func() bool { return store.Status()[0].Error == "unavailable" })
		assertFails(t, v, "a", "connection refused", secrets.ErrUnavailable)
		if when == "while running" {
			assertValue(t, value, "x")
			within(t, 8*time.Second, "max_stale", func() bool { _, err := value.Get(); return err != nil })
			assertNone(t, value, secrets.ErrStale)
		} else {
			assertNone(t, value, secrets.ErrUnavailable)
		}
		peer.Restart(t)
		within(t, 6*time.Second, "that it is sealed", func() bool { return store.Status()[0].Error == "sealed" })
		assertFails(t, v, "a", "vault operator unseal", secrets.ErrSealed, secrets.ErrUnavailable)
		peer.Unseal(t)
		took := within(t, 5*time.Second, "the end of the outage", func() bool { _, err := value.Get(); return err == nil })
		t.Logf("down %s: back %v after it was unsealed", when, took.Round(time.Millisecond))
		assertValue(t, value, "x")
		if when == "at start" {
			peer.Seal(t)
			within(t, 6*time.Second, "that it is sealed", func() bool { return store.Status()[0].Error == "sealed" })
			assertValue(t, value, "x")
			peer.Unseal(t)
			took := within(t, 5*time.Second, "the end of the seal", func() bool { return store.Status()[0].Error == "" })
			t.Logf("sealed while running: back after %v", took.Round(time.Millisecond))
			peer.Stop()
		}
	}
}

func mounted(t *testing.T, peer *peertest.VaultPeer) bool {
	t.Helper()
	_, err := newVault(t, peer.Address, func(o *secrets.VaultOptions) {
		o.Lookup = lookup(fields{"VAULT_TOKEN": peer.Token})
	}).Read(t.Context(), "none")
	return secrets.Reason(err) == "not_found"
}

func TestVaultThatIsNotInitialised(t *testing.T) {
	t.Parallel()
	peer := peertest.VaultSealed(t)
	assertFails(t, newVault(t, peer.Address, nil), "a", "not initialised", secrets.ErrUnavailable)
}

func TestVaultRateLimitIsKeptToAndEnds(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string]bool{"told when to come back": true, "not told": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := peertest.Vault(t)
			put(t, peer, "a", fields{"value": "x"})
			front := newFront(t, peer, nil)
			v := newVault(t, front.URL, nil)
			assertGets(t, v, "a", "x")
			peer.Do(t, http.MethodPut, "sys/quotas/config", fields{"enable_rate_limit_response_headers": headers})
			peer.Do(t, http.MethodPut, "sys/quotas/rate-limit/all", fields{"rate": 1, "interval": "3s"})
			within(t, 5*time.Second, "the limit", func() bool { _, err := get(t, v, "a"); return err != nil })
			began, asked := time.Now(), front.asked("secret/data/a")
			for time.Since(began) < 500*time.Millisecond {
				assertFails(t, v, "a", "limits the rate (429)", secrets.ErrThrottled, secrets.ErrUnavailable)
			}
			if got := front.asked("secret/data/a"); got != asked {
				t.Errorf("asked %d times more right after it was told not to", got-asked)
			}
			took := within(t, 5*time.Second, "the end", func() bool { _, err := get(t, v, "a"); return err == nil })
			t.Logf("back after %v", took.Round(time.Millisecond))
		})
	}
}

func TestVaultAnswerThatIsTooLargeIsRefusedWhole(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "large", fields{"value": "x", "a": strings.Repeat("a", 600_000), "b": strings.Repeat("b", 600_000)})
	put(t, peer, "fits", fields{"value": "x", "a": strings.Repeat("a", 1_000_000)})
	v := newVault(t, peer.Address, nil)
	assertFails(t, v, "large", "larger than 1048576 bytes", secrets.ErrInvalid)
	assertGets(t, v, "fits", "x")
}

// A standby answers a request that must not be forwarded with a redirect to the
// active one.
func TestVaultFollowsARedirectOfAStandbyOnItsOwnHostOnly(t *testing.T) {
	t.Parallel()
	active := peertest.VaultSealed(t)
	active.Init(t)
	active.Unseal(t)
	standby := active.Standby(t)
	active.Do(t, http.MethodPut, "sys/mounts/secret", fields{"type": "kv", "options": fields{"version": "2"}})
	within(t, 10*time.Second, "the mount", func() bool { return mounted(t, active) })
	put(t, active, "a", fields{"value": "x"})
	front := newFront(t, standby, func(r *http.Request) { r.Header.Set("X-Vault-No-Request-Forwarding", "true") })
	root := func(o *secrets.VaultOptions) { o.Lookup = lookup(fields{"VAULT_TOKEN": active.Token}) }
	v := newVault(t, front.URL, root)
	assertGets(t, v, "a", "x")
	must(t, v.Set(t.Context(), secrets.Reference{Path: "b"}, secrets.NewSecret("y"))) // the body goes along
	assertGets(t, v, "b", "y")
	assertGets(t, newVault(t, standby.Address, root), "a", "x") // forwarded
	_, port, err := net.SplitHostPort(strings.TrimPrefix(front.URL, "http://"))
	must(t, err)
	assertFails(t, newVault(t, "http://localhost:"+port, root), "a", "redirects to another host", secrets.ErrUnavailable)
}

// Redirects that no Vault sends, and that would carry the token elsewhere.
func TestVaultTokenFollowsNoOtherRedirect(t *testing.T) {
	t.Parallel()
	var reached int
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer elsewhere.Close()
	to, err := url.Parse(elsewhere.URL)
	must(t, err)
	for name, c := range map[string]struct {
		status   int
		location string
		word     string
	}{
		"another name of the host":       {307, "http://localhost:" + to.Port(), "another host"},
		"the metadata service":           {307, "http://169.254.169.254/latest/meta-data", "another host"},
		"the metadata service, IPv6":     {307, "https://[fd00:ec2::254]/", "another host"},
		"another scheme":                 {307, "ftp://127.0.0.1/", "not https"},
		"a file":                         {307, "file:///etc/passwd", "not https"},
		"a user":                         {307, "http://u:p@127.0.0.1:" + to.Port(), "no address"},
		"what is no URL":                 {307, "http://[", "no address"},
		"nowhere":                        {307, "", "no address"},
		"in a circle":                    {307, "/v1/again", "more than once"},
		"a status that changes a method": {302, elsewhere.URL, "status 302"},
		"for ever":                       {301, elsewhere.URL, "status 301"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			assertFails(t, newVault(t, server.URL, nil), "a", c.word, secrets.ErrUnavailable)
		})
	}
	secure := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer secure.Close()
	v := newVault(t, secure.URL, func(o *secrets.VaultOptions) { o.CAFile = certificateOf(t, secure) })
	assertFails(t, v, "a", "not https", secrets.ErrUnavailable)
	if reached != 0 {
		t.Errorf("%d requests went elsewhere", reached)
	}
}
