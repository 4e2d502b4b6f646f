package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
)

const replicaConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {refresh: %s, %s}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt/key}"}]}
keyrings:
  pii: {type: aes256-gcm, keys: "${secret:crypto/pii}"}
  mail: {type: fernet, keys: "${secret:crypto/all#mail}"}
  sign: {type: hmac, keys: "${secret:crypto/all#sign}"}
crypto: {path: /crypto/v1, auth: {issuers: [test]}}
routes: [{name: all, path: /*, auth: public, upstream: "http://127.0.0.1:1"}]
`

// rotatesKeyrings holds two replicas on one backend to what must hold of them:
// either makes a first version and rotates, the other follows, and of rotations
// at the same time each that succeeds has left its version.
func rotatesKeyrings(t *testing.T, backend string, env environment, put store) {
	t.Helper()
	put("jwt/key", map[string]string{"value": hmacKey})
	one := start(t, fmt.Sprintf(replicaConfig, "1s", backend), env)
	two := start(t, fmt.Sprintf(replicaConfig, "1h", backend), env) // follows by early reads alone
	for _, ring := range []string{"pii", "mail", "sign"} {
		rotate := func(g *running) answer { return g.crypto(t, "/keyrings/"+ring+"/rotate", "", "crypto:admin") }
		if a := one.crypto(t, "/keyrings/"+ring+"/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"); a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s before there is one: %d %s", ring, a.Status, a.Body)
		}
		for version, g := range []*running{one, two} {
			if v := field(t, rotate(g), "version"); v != float64(version+1) {
				t.Fatalf("%s: version %v", ring, v)
			}
		}
		first := sealedBy(t, two, ring)
		opens(t, two, ring, first)
		await(t, ring+" read by the other replica", func() bool { return opened(t, one, ring, first) })

		const each = 4
		var mu sync.Mutex
		var made []int
		var all sync.WaitGroup
		for i := range 2 * each {
			all.Go(func() {
				a := rotate([]*running{one, two}[i%2])
				mu.Lock()
				defer mu.Unlock()
				switch a.Status {
				case http.StatusOK:
					var v struct{ Version int }
					_ = json.Unmarshal([]byte(a.Body), &v)
					made = append(made, v.Version)
				case http.StatusConflict:
				default:
					t.Errorf("%s, at the same time: %d %s", ring, a.Status, a.Body)
				}
			})
		}
		all.Wait()
		sort.Ints(made)
		for i, version := range made {
			if version != i+3 {
				t.Errorf("%s: versions %v were made: one is lost or was made twice", ring, made)
			}
		}
		if len(made) == 0 {
			t.Errorf("%s: none of %d rotations at the same time succeeded", ring, 2*each)
		}
		t.Logf("%s: %d of %d rotations at the same time succeeded, the others met a conflict", ring, len(made), 2*each)
		last := 2 + len(made)
		await(t, ring+": the newest version on the first replica", func() bool { return primary(t, one, ring) == last })
		newest := sealedBy(t, one, ring)
		await(t, ring+": the newest version on the other", func() bool { return opened(t, two, ring, newest) }) // an early read is at most one in 5 s
		for _, g := range []*running{one, two} {
			opens(t, g, ring, first)
			opens(t, g, ring, newest)
			if got := primary(t, g, ring); got != last {
				t.Errorf("%s: primary %d, want %d", ring, got, last)
			}
		}
	}
}

// sealedBy encrypts, or makes a MAC of, "x", and returns the question that opens
// it.
func sealedBy(t *testing.T, g *running, ring string) string {
	t.Helper()
	if ring == "sign" {
		return fmt.Sprintf(`{"data": "x", "mac": %q}`, field(t, g.crypto(t, "/keyrings/sign/mac", `{"data": "x"}`, "crypto:mac"), "mac"))
	}
	return fmt.Sprintf(`{"ciphertext": %q}`, field(t, g.crypto(t, "/keyrings/"+ring+"/encrypt", `{"plaintext": "x"}`, "crypto:encrypt"), "ciphertext"))
}

func opened(t *testing.T, g *running, ring, question string) bool {
	t.Helper()
	if ring == "sign" {
		return strings.Contains(g.crypto(t, "/keyrings/sign/verify", question, "crypto:mac").Body, `"valid":true`)
	}
	return strings.Contains(g.crypto(t, "/keyrings/"+ring+"/decrypt", question, "crypto:decrypt").Body, `"plaintext":"x"`)
}

func opens(t *testing.T, g *running, ring, question string) {
	t.Helper()
	if !opened(t, g, ring, question) {
		t.Errorf("%s: %s does not open", ring, question)
	}
}

func primary(t *testing.T, g *running, ring string) int {
	t.Helper()
	a := send(t, "GET", g.URL+"/crypto/v1/keyrings/"+ring, "", bearer(mint(t, map[string]any{"scope": "crypto:admin"})))
	return int(field(t, a, "primary").(float64))
}

func TestVaultKeyringsRotateOnTwoReplicas(t *testing.T) {
	t.Parallel()
	vault := peertest.Vault(t)
	rotatesKeyrings(t, fmt.Sprintf("backend: vault, vault: {address: %q}", vault.Address), environment{"VAULT_TOKEN": vault.Token}, vaultStore(t, vault))
}

func TestAWSKeyringsRotateOnTwoReplicas(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	rotatesKeyrings(t, fmt.Sprintf("backend: aws, aws: {endpoint: %q}", moto.Endpoint), environment{
		"AWS_REGION": moto.Region, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
	}, motoStore(t, moto))
}
