package peertest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

func TestFositeIssuesTokensThatVerifyAgainstItsJWKS(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t, "-lifetime", "5s", "-audience", "billing")
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			client := peer.Clients[method]
			answer := post(t, peer.TokenURL, method, client, url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read orders:write"}})
			if answer.status != http.StatusOK {
				t.Fatalf("token endpoint: %d %v", answer.status, answer.body)
			}
			if got := answer.body["token_type"]; got != "bearer" {
				t.Errorf("token_type %v, want bearer", got)
			}
			header, claims := verifyRS256(t, peer.JWKSURL, fmt.Sprint(answer.body["access_token"]))
			for name, want := range map[string]any{
				"iss": peer.Issuer, "sub": client.ID, "client_id": client.ID, "scope": "orders:read orders:write",
			} {
				if claims[name] != want {
					t.Errorf("claim %s is %v, want %v", name, claims[name], want)
				}
			}
			if got := fmt.Sprint(claims["aud"]); got != "[billing]" {
				t.Errorf("aud is %s, want [billing]", got)
			}
			if got := header["typ"]; got != "at+jwt" {
				t.Errorf("typ is %v, want at+jwt", got)
			}
			if life := claims["exp"].(float64) - claims["iat"].(float64); life < 4 || life > 5 {
				t.Errorf("the token lives %v s, want 5", life)
			}
		})
	}
}

func TestFositeRefuses(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t)
	basic, form := peer.Clients["client_secret_basic"], url.Values{"grant_type": {"client_credentials"}}
	for name, c := range map[string]struct {
		method string
		client peertest.FositeClient
		form   url.Values
		status int
		err    string
	}{
		"a wrong secret":            {"client_secret_basic", peertest.FositeClient{ID: basic.ID, Secret: "x"}, form, 401, "invalid_client"},
		"a client it does not know": {"client_secret_basic", peertest.FositeClient{ID: "x", Secret: "x"}, form, 401, "invalid_client"},
		"the basic client by post":  {"client_secret_post", basic, form, 401, "invalid_client"},
		"a secret not form-encoded": {"unencoded basic", basic, form, 401, "invalid_client"},
		"a scope not the client's":  {"client_secret_basic", basic, url.Values{"grant_type": form["grant_type"], "scope": {"orders:delete"}}, 400, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := post(t, peer.TokenURL, c.method, c.client, c.form)
			if answer.status != c.status || answer.body["error"] != c.err {
				t.Errorf("answered %d %v, want %d %s", answer.status, answer.body["error"], c.status, c.err)
			}
		})
	}
}

func TestFositeIntrospectsUntilRevoked(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t)
	owner, other := peer.Clients["client_secret_basic"], peer.Clients["client_secret_post"]
	token := post(t, peer.TokenURL, "client_secret_basic", owner, url.Values{"grant_type": {"client_credentials"}}).body["access_token"]
	form := url.Values{"token": {fmt.Sprint(token)}}
	active := func(want bool, when string) {
		t.Helper()
		if got := post(t, peer.IntrospectURL, "client_secret_basic", owner, form).body["active"]; got != want {
			t.Errorf("active is %v %s, want %v", got, when, want)
		}
	}
	active(true, "when issued")
	post(t, peer.RevokeURL, "client_secret_post", other, form)
	active(true, "after another client tried to revoke it")
	post(t, peer.RevokeURL, "client_secret_basic", owner, form)
	active(false, "after its client revoked it")
}

func TestFositeTakesASignedAssertionOnce(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	peer := peertest.Fosite(t, "-client-alg", "ES256", "-client-jwks", fmt.Sprintf(
		`{"keys":[{"kty":"EC","crv":"P-256","use":"sig","kid":"k1","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:])))
	id := peer.Clients["private_key_jwt"].ID
	claims, _ := json.Marshal(map[string]any{
		"iss": id, "sub": id, "aud": peer.TokenURL, "jti": "once", "exp": time.Now().Add(time.Minute).Unix(),
	})
	signed := b64([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + b64(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {signed + "." + b64(signature)},
	}
	if first := post(t, peer.TokenURL, "", peertest.FositeClient{}, form); first.status != http.StatusOK {
		t.Fatalf("the assertion is answered %d %v", first.status, first.body)
	}
	if again := post(t, peer.TokenURL, "", peertest.FositeClient{}, form); again.status != 400 || again.body["error"] != "jti_known" {
		t.Errorf("the same assertion again is answered %d %v, want 400 jti_known", again.status, again.body["error"])
	}
}

func TestFositeIsGoneAfterStopAndComesBackAtTheSameAddress(t *testing.T) {
	t.Parallel()
	peer := peertest.Fosite(t)
	peer.Stop()
	address := strings.TrimPrefix(peer.URL, "http://")
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Fatal("the server still takes connections after Stop")
	}
	if back := peertest.Fosite(t, "-listen", address); back.URL != peer.URL {
		t.Errorf("came back at %s, want %s", back.URL, peer.URL)
	}
}

// An answer is what an endpoint said: the status, and the JSON object if it was one.
type answer struct {
	status int
	body   map[string]any
}

func post(t *testing.T, endpoint, method string, client peertest.FositeClient, form url.Values) answer {
	t.Helper()
	sent := url.Values{}
	for name, values := range form {
		sent[name] = values
	}
	if method == "client_secret_post" {
		sent.Set("client_id", client.ID)
		sent.Set("client_secret", client.Secret)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(sent.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	switch method {
	case "client_secret_basic": // RFC 6749, section 2.3.1
		req.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret))
	case "unencoded basic":
		req.SetBasicAuth(client.ID, client.Secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&a.body); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return a
}

// verifyRS256 checks the token with the standard library alone, so that this
// test leans on nothing the peer is there to test.
func verifyRS256(t *testing.T, jwksURL, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a compact JWS: %d parts", len(parts))
	}
	decode := func(s string) []byte {
		t.Helper()
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for part, into := range map[string]*map[string]any{parts[0]: &header, parts[1]: &claims} {
		if err := json.Unmarshal(decode(part), into); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.Get(jwksURL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct {
		Keys []struct{ Kid, Alg, Use, N, E string }
	}
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, k := range set.Keys {
		if k.Kid != header["kid"] || k.Alg != "RS256" || k.Use != "sig" {
			continue
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(decode(k.N)), E: int(new(big.Int).SetBytes(decode(k.E)).Int64())}
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], decode(parts[2])); err != nil {
			t.Fatalf("signature: %v", err)
		}
		return header, claims
	}
	t.Fatalf("the JWKS has no key %v", header["kid"])
	return nil, nil
}
