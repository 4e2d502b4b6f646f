package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/gateway"
)

const (
	partnerKey  = "sk_live_5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d5f2b9c0d"
	disabledKey = "sk_live_11111111111111111111111111111111111111111111111111111111111111aa"
	expiredKey  = "sk_live_22222222222222222222222222222222222222222222222222222222222222aa"
	slowKey     = "sk_slow_33333333333333333333333333333333333333333333333333333333333333aa"
)

// partners is a list of keys: acme-1 may read orders.
func partners(t testing.TB) []auth.APIKeyRecord {
	t.Helper()
	hash, err := crypto.HashPassword(slowKey, crypto.PasswordOptions{Iterations: crypto.MinIterations})
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Minute)
	return []auth.APIKeyRecord{
		{ID: "acme-1", Prefix: partnerKey[:16], Hash: digestOf(partnerKey), Scopes: []string{"orders:read"}, Claims: map[string]any{"tenant": "acme"}},
		{ID: "off", Hash: digestOf(disabledKey), Scopes: []string{"orders:read"}, Disabled: true},
		{ID: "old", Hash: digestOf(expiredKey), Scopes: []string{"orders:read"}, Expires: &past},
		{ID: "slow", Prefix: slowKey[:16], Hash: hash, Scopes: []string{"orders:read"}},
	}
}

func digestOf(key string) string {
	digest := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(digest[:])
}

// keyStore is a folder with the list in it.
func keyStore(t testing.TB, records []auth.APIKeyRecord) string {
	t.Helper()
	dir := t.TempDir()
	storeKeys(t, dir, records)
	if err := os.WriteFile(filepath.Join(dir, "jwt"), []byte(hmacKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func storeKeys(t testing.TB, dir string, records []auth.APIKeyRecord) {
	t.Helper()
	doc, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
}

const keyHead = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: file, file: {dir: %s}, refresh: 1s}
issuers: {test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt}"}]}}
api_keys: {partners: {keys: "${secret:keys}"}}
`

const keyRoutes = `
routes:
  - {name: keys, path: "/keys/*", auth: {api_keys: [partners], scopes: [orders:read]}, forward: {X-User: sub, X-Tenant: tenant}, upstream: "%[1]s"}
  - {name: both, path: "/both/*", auth: {issuers: [test], api_keys: [partners]}, forward: {X-User: sub}, upstream: "%[1]s"}
  - {name: strict, path: "/strict/*", auth: {api_keys: [partners], scopes: [orders:write]}, upstream: "%[1]s"}
  - {name: tokens, path: "/tokens/*", auth: {issuers: [test]}, upstream: "%[1]s"}
  - {name: open, path: "/open/*", auth: public, upstream: "%[1]s"}
`

func startKeys(t testing.TB, more string) (*running, string) {
	t.Helper()
	up, dir := startEcho(t), keyStore(t, partners(t))
	return start(t, fmt.Sprintf(keyHead, dir)+more+fmt.Sprintf(keyRoutes, up.URL), nil), dir
}

func keyed(key string) string { return "X-Api-Key: " + key }

// apikey-06 and apikey-09: the key opens the route, and is nowhere afterwards.
func TestAPIKey06And09KeyOpensItsRouteAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, "")
	for path, headers := range map[string][]string{
		"/keys/1":      {keyed(partnerKey)},
		"/both/1":      {keyed(partnerKey)},
		"/keys/slow":   {keyed(slowKey)},
		"/keys/twins":  {keyed(partnerKey), "X_api_key: " + partnerKey, "X.Api.Key: " + partnerKey},
		"/keys/bearer": {keyed(partnerKey), bearer("abc")},
		"/keys/hop":    {keyed(partnerKey), "Connection: X-Api-Key"},
		"/tokens/1":    {bearer(mint(t, nil)), keyed(partnerKey)},
		"/open/1":      {keyed(partnerKey), bearer(mint(t, nil))},
	} {
		seen := send(t, "GET", g.URL+path, "", headers...).seen(t)
		text := fmt.Sprint(seen)
		for _, secret := range []string{partnerKey[16:], slowKey[16:], "Bearer"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the upstream saw the caller's credential: %s", path, text)
			}
		}
	}
	seen := send(t, "GET", g.URL+"/keys/1", "", keyed(partnerKey), "X-User: admin", "X_tenant: else").seen(t)
	if seen.Header.Get("X-User") != "acme-1" || seen.Header.Get("X-Tenant") != "acme" || len(seen.Header["X_tenant"]) != 0 {
		t.Errorf("identity is %v", seen.Header)
	}
	await(t, "access lines", func() bool { return strings.Contains(g.Access.String(), `"subject":"acme-1","issuer":"partners"`) })
	for name, text := range map[string]string{"log": g.Log.String(), "access log": g.Access.String(), "metrics": send(t, "GET", g.Admin+"/metrics", "").Body, "readiness": send(t, "GET", g.Admin+"/readyz?verbose", "").Body} {
		for _, secret := range []string{partnerKey[16:], slowKey[16:], digestOf(partnerKey)} {
			if strings.Contains(text, secret) {
				t.Errorf("the key is in the %s", name)
			}
		}
	}
}

// The same bytes for the caller, whatever was wrong with the key.
func TestAPIKey01RefusedKeysCannotBeToldApart(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, "")
	bodies := make(map[string]string)
	for name, key := range map[string]string{
		"unknown": "sk_live_" + strings.Repeat("0", 64), "disabled": disabledKey, "expired": expiredKey, "first byte": "x" + partnerKey[1:],
		"last byte": partnerKey[:71] + "x", "wrong, of a slow one's prefix": slowKey[:71] + "b", "truncated": partnerKey[:40], "with spaces": "a b",
		"escaped": "sk%5Flive", "very long": strings.Repeat("x", 2000),
	} {
		got := send(t, "GET", g.URL+"/keys/1", "", keyed(key))
		id := got.problem(t)["request_id"].(string)
		bodies[fmt.Sprint(got.Status, got.Header["Www-Authenticate"], got.Header["Retry-After"], strings.ReplaceAll(got.Body, id, ""))] = name
		if got.Status != 401 || !strings.HasPrefix(got.Header.Get("Www-Authenticate"), `ApiKey realm="gateway"`) {
			t.Errorf("%s: %d, %s", name, got.Status, got.Header.Get("Www-Authenticate"))
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers: %v", len(bodies), bodies)
	}
	for reason, want := range map[string]bool{"unknown_key": true, "disabled": true, "expired": true, "malformed": true} {
		await(t, "a line that says "+reason, func() bool { return strings.Contains(g.Access.String(), `"reason":"`+reason+`"`) == want })
	}
}

// headers-06, apikey-03, apikey-04 and apikey-08: where a key may stand, and
// beside what.
func TestAPIKey03And04And08PlacesOfKeys(t *testing.T) {
	t.Parallel()
	g, _ := startKeys(t, "")
	token := bearer(mint(t, nil))
	for name, c := range map[string]struct {
		path      string
		headers   []string
		status    int
		challenge string // how it begins
	}{
		"none":                                   {"/keys/1", nil, 401, `ApiKey realm="gateway"`},
		"none, where tokens are taken too":       {"/both/1", nil, 401, `Bearer realm="gateway"`},
		"in the query":                           {"/keys/1?api_key=" + partnerKey, nil, 401, `ApiKey`},
		"in the query, by the header's name":     {"/keys/1?X-API-Key=" + partnerKey, nil, 401, `ApiKey`},
		"in a cookie":                            {"/keys/1", []string{"Cookie: X-API-Key=" + partnerKey}, 401, `ApiKey`},
		"as a bearer token":                      {"/keys/1", []string{bearer(partnerKey)}, 401, `ApiKey`},
		"as a bearer token, where those count":   {"/both/1", []string{bearer(partnerKey)}, 401, `Bearer`},
		"under another spelling":                 {"/keys/1", []string{"X_api_key: " + partnerKey}, 401, `ApiKey`},
		"empty":                                  {"/keys/1", []string{keyed("")}, 401, `ApiKey`},
		"two":                                    {"/keys/1", []string{keyed(partnerKey), keyed("x")}, 400, `ApiKey`},
		"the same one twice":                     {"/keys/1", []string{keyed(partnerKey), keyed(partnerKey)}, 400, `ApiKey`},
		"beside a token":                         {"/both/1", []string{keyed(partnerKey), token}, 400, `Bearer realm="gateway", error="invalid_request"`},
		"beside a token, and one in the query":   {"/both/1?access_token=x", []string{keyed(partnerKey), token}, 400, `Bearer`},
		"a wrong one beside a token":             {"/both/1", []string{keyed("x"), token}, 400, `Bearer`},
		"Basic, not base64":                      {"/both/1", []string{"Authorization: Basic !!"}, 401, `Bearer`},
		"Basic, nothing":                         {"/both/1", []string{"Authorization: Basic"}, 401, `Bearer`},
		"Basic, a colon":                         {"/keys/1", []string{"Authorization: Basic Og=="}, 401, `ApiKey`},
		"Basic, a user":                          {"/keys/1", []string{"Authorization: Basic dXNlcjo="}, 401, `ApiKey`},
		"Basic, very long":                       {"/keys/1", []string{"Authorization: Basic " + strings.Repeat("A", 100_000)}, 431, ``},
		"Basic, twice":                           {"/keys/1", []string{"Authorization: Basic Og==", "Authorization: Basic Og=="}, 400, `ApiKey`},
		"a scope is missing":                     {"/strict/1", []string{keyed(partnerKey)}, 403, `ApiKey realm="gateway", error="insufficient_scope", scope="orders:write"`},
		"a token of the same scope is no matter": {"/both/1", []string{token}, 200, ``},
	} {
		got := send(t, "GET", g.URL+c.path, "", c.headers...)
		if got.Status != c.status || !strings.HasPrefix(got.Header.Get("Www-Authenticate"), c.challenge) {
			t.Errorf("%s: %d, %q; want %d, %q", name, got.Status, got.Header.Get("Www-Authenticate"), c.status, c.challenge)
		}
	}
	if strings.Contains(g.Access.String()+g.Log.String(), partnerKey[8:]) {
		t.Error("a key is in a log")
	}
}

// apikey-05: a key that is disabled or removed in the secret backend is refused
// as soon as the list is read again.
func TestAPIKey05DisabledKeyIsRefusedAtTheNextRefresh(t *testing.T) {
	t.Parallel()
	g, dir := startKeys(t, "")
	status := func(key string) int { return send(t, "GET", g.URL+"/keys/1", "", keyed(key)).Status }
	if status(partnerKey) != 200 || status(slowKey) != 200 {
		t.Fatal("the keys do not open their route")
	}
	records := partners(t)
	records[0].Disabled = true
	storeKeys(t, dir, records[:3])
	await(t, "the end of both keys", func() bool { return status(partnerKey) == 401 && status(slowKey) == 401 })
	storeKeys(t, dir, partners(t))
	await(t, "their return", func() bool { return status(partnerKey) == 200 && status(slowKey) == 200 })
	if err := os.WriteFile(filepath.Join(dir, "keys"), []byte(`[{"id": "cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the refusal of a broken list", func() bool { return strings.Contains(g.Log.String(), "secret refused: it does not parse") })
	if got := status(partnerKey); got != 200 {
		t.Errorf("with a broken list: %d, want the last good one to go on", got)
	}
	if strings.Contains(g.Log.String(), digestOf(partnerKey)) {
		t.Error("the log quotes the list")
	}
	if err := os.Remove(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	await(t, "the list's absence", func() bool { return status(partnerKey) == 503 })
	if got := send(t, "GET", g.URL+"/both/1", "", bearer(mint(t, nil))); got.Status != 200 {
		t.Errorf("a token, while the list is gone: %d", got.Status)
	}
}

func TestListThatIsNotThereIsNoRefusal(t *testing.T) {
	t.Parallel()
	up, dir := startEcho(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jwt"), []byte(hmacKey), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, fmt.Sprintf(keyHead, dir)+fmt.Sprintf(keyRoutes, up.URL), nil)
	got := send(t, "GET", g.URL+"/keys/1", "", keyed(partnerKey))
	if got.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("with a key: %d, %v", got.Status, got.Header)
	}
	if got := send(t, "GET", g.URL+"/keys/1", ""); got.Status != 401 {
		t.Errorf("without a key: %d", got.Status)
	}
	ready := send(t, "GET", g.Admin+"/readyz", "")
	if !strings.Contains(ready.Body, `"name":"api_keys/partners","status":"unavailable"`) {
		t.Errorf("readiness: %s", ready.Body)
	}
	storeKeys(t, dir, partners(t))
	await(t, "the list", func() bool { return send(t, "GET", g.URL+"/keys/1", "", keyed(partnerKey)).Status == 200 })
}

// apikey-07: a list that could never be used ends the start, with its place.
func TestAPIKey07ListThatIsNoneEndsTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ list, want string }{
		"a key, not a list":   {partnerKey, "test.yaml:6:29: api_keys.partners.keys: the API keys must be a JSON list of records; store a JSON list of the records"},
		"the hash of nothing": {`[{"id": "a", "hash": "` + digestOf("") + `"}]`, "test.yaml:6:29: api_keys.partners.keys: API key [0]: hash is that of an empty key"},
		"an unknown member":   {`[{"id": "a", "hash": "` + digestOf("a") + `", "expiry": "2030-01-01T00:00:00Z"}]`, "/0/expiry is no member of a record"},
		"a bare key as hash":  {`[{"id": "a", "hash": "` + partnerKey + `"}]`, "API key [0]: hash is neither"},
	} {
		dir := keyStore(t, nil)
		if err := os.WriteFile(filepath.Join(dir, "keys"), []byte(c.list), 0o600); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(keyHead, dir) + fmt.Sprintf(keyRoutes, "http://127.0.0.1:1")
		g, err := gateway.Build(parse(t, text, environment{}), gateway.Options{LookupEnv: environment{}.lookup})
		if err != nil {
			t.Fatal(err)
		}
		validated := gateway.Validate(t.Context(), parse(t, text, environment{}), gateway.Options{LookupEnv: environment{}.lookup}, false)
		for _, err := range []error{g.Fetch(t.Context()), validated} {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), partnerKey[8:]) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	}
	text := strings.Replace(keyHead, `"${secret:keys}"`, `"[{}]"`, 1) + "allow_literal_secrets: true\n"
	_, err := gateway.Build(parse(t, fmt.Sprintf(text, t.TempDir())+fmt.Sprintf(keyRoutes, "http://127.0.0.1:1"), environment{}), gateway.Options{LookupEnv: environment{}.lookup})
	if err == nil || !strings.Contains(err.Error(), "test.yaml:6:") || !strings.Contains(err.Error(), "API key [0]: id must") {
		t.Errorf("a literal list: %v", err)
	}
}

func TestKeysOfAListThatNoRouteUsesAreNotFetched(t *testing.T) {
	t.Parallel()
	g := start(t, head+`api_keys: {unused: {keys: "${secret:not/there}"}}`+fmt.Sprintf(openRoute, startEcho(t).URL), nil)
	if ready := send(t, "GET", g.Admin+"/readyz?strict", ""); ready.Status != http.StatusOK || strings.Contains(ready.Body, "not/there") {
		t.Errorf("%d: %s", ready.Status, ready.Body)
	}
}
