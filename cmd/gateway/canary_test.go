package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/token"
)

// canaries are secrets to look for, by the slot each was put into.
type canaries map[string]string

// plant makes a secret of its own for a slot: long enough for an HMAC key, with
// characters that URLs and JSON escape.
func (c canaries) plant(slot string) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	part := hex.EncodeToString(b[:6]) + "+/" + hex.EncodeToString(b[6:])
	c[fmt.Sprintf("%s (%d)", slot, len(c))] = part
	return "canary-of-" + slot + "-" + part + "-and-some-more-of-it"
}

// forms are the texts by which a planted secret would show: either half of it as
// it stands, which no escape for URLs, JSON or HTML changes, and the whole in hex
// and in base64, wherever in the encoded text it begins.
func forms(part string) []string {
	first, second, escaped := strings.Cut(part, "+/")
	if !escaped {
		first, second = part[:len(part)/2], part[len(part)/2:]
	}
	list := []string{first, second, hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part)))}
	for before, skip := range []int{0, 2, 3} {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), part...))
			list = append(list, text[skip:(before+len(part))/3*4])
		}
	}
	return list
}

// search fails if one of the canaries shows in an output.
func (c canaries) search(t *testing.T, outputs map[string]string) {
	t.Helper()
	size := 0
	for where, text := range outputs {
		size += len(text)
		for slot, part := range c {
			for _, form := range forms(part) {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s: the %s shows: …%.300s…", where, slot, text[max(0, at-150):])
					break
				}
			}
		}
	}
	t.Logf("searched %d outputs of %d bytes for %d canaries in %d forms each", len(outputs), size, len(c), len(forms("a+/b")))
}

func TestFormsOfACanaryAreFound(t *testing.T) {
	t.Parallel()
	c := make(canaries)
	secret, part := c.plant("slot"), c["slot (0)"]
	text, err := json.Marshal(map[string]string{"url": "http://u:" + secret + "@h/"})
	if err != nil {
		t.Fatal(err)
	}
	for name, output := range map[string]string{
		"as it stands": secret, "JSON": string(text), "query": neturl.QueryEscape(secret), "path": neturl.PathEscape(secret),
		"hex": hex.EncodeToString([]byte(secret)), "Basic": base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"Basic, shifted": base64.StdEncoding.EncodeToString([]byte("user1:" + secret)), "base64url": base64.RawURLEncoding.EncodeToString([]byte("user22:" + secret)),
	} {
		found := false
		for _, form := range forms(part) {
			found = found || strings.Contains(output, form)
		}
		if !found {
			t.Errorf("%s: not found in %s", name, output)
		}
	}
}

// hostile is a peer that fails in one way after another, with a canary in all it
// says, and what it was told too.
type hostile struct {
	*httptest.Server
	mode  atomic.Int64
	good  http.Handler // for mode 0
	modes int64
}

func startHostile(t *testing.T, canary string, good http.Handler) *hostile {
	t.Helper()
	h := &hostile{good: good, modes: 5}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told := fmt.Sprint(canary, " ", r.Header, " ", r.URL, " ", string(body))
		switch h.mode.Load() {
		case 0:
			r.Body = io.NopCloser(bytes.NewReader(body))
			h.good.ServeHTTP(w, r)
		case 1:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{told}, "error": told, "error_description": told, "message": told, "__type": told})
		case 2:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{told}, "error": told, "error_uri": told, "message": told, "__type": told})
		case 3:
			w.Header().Set("Content-Type", told)
			w.Header().Set("Location", "http://"+canary+"/"+neturl.PathEscape(told))
			w.WriteHeader(http.StatusFound)
		case 4: // no HTTP at all
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", strings.NewReplacer("\n", "", " ", "_").Replace(told)) // one word: it is quoted whole
				_ = conn.Close()
			}
		default:
			_, _ = io.WriteString(w, told)
		}
	}))
	h.Config.ErrorLog = nil
	t.Cleanup(h.Close)
	return h
}

const canaryConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, token: "${secret:canary/admin}"}
secrets: {refresh: 1s, max_stale: 2s, %[1]s}
audit: {path: %[2]q, hmac_key: "${secret:canary/audit}"}
telemetry: {log_level: debug, log_format: json}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:canary/jwt}"}]}
  far: {issuer: https://far.test, audiences: [orders-api], jwks_url: "%[3]s/jwks?key=%[4]s", jwks: {refresh: 1s, cooldown: 1s}}
  opaque: {audiences: ["*"], introspection: {url: "%[3]s/introspect?key=%[4]s", client_id: gateway, client_secret: "${secret:canary/introspection}"}}
api_keys: {partners: {keys: "${secret:canary/keys}"}}
credentials:
  static: {type: static, token: "${secret:canary/static}"}
  query: {type: static, query: key, token: "${secret:canary/static}"}
  cookie: {type: static, cookie: session, token: "${secret:canary/cookie}"}
  basic: {type: basic, username: "${secret:canary/basic#user}", password: "${secret:canary/basic#password}"}
  crm: {type: oauth2, token_url: "%[3]s/token?key=%[4]s", client_id: gateway, client_secret: "${secret:canary/client}"}
  post: {type: oauth2, token_url: "%[3]s/token", client_id: gateway, client_auth: post, client_secret: "${secret:canary/client}", parameters: {assertion: "%[4]s"}}
routes:
  - {name: static, path: /static, auth: public, inject: static, upstream: "%[5]s"}
  - {name: query, path: /query, auth: public, inject: query, upstream: "%[5]s"}
  - {name: cookie, path: /cookie, auth: public, inject: cookie, upstream: "%[5]s"}
  - {name: basic, path: /basic, auth: public, inject: basic, upstream: "%[5]s"}
  - {name: crm, path: /crm, auth: public, inject: [crm], upstream: "%[5]s"}
  - {name: post, path: /post, auth: public, inject: [post], upstream: "%[5]s"}
  - {name: test, path: /test, auth: {issuers: [test, far]}, rate_limit: {rate: 3/h, key: "header:X-Api-Key"}, upstream: "%[5]s"}
  - {name: keys, path: /keys, auth: {api_keys: [partners]}, upstream: "%[5]s"}
  - {name: opaque, path: /opaque, auth: {issuers: [opaque], allow: 'request.headers["x-api-key"] == "x"'}, upstream: "%[5]s"}
`

// logs-02: secrets in every slot, everything fails, at log_level debug; none of
// them is in any output.
func TestLogs02CanariesShowNowhere(t *testing.T) {
	for _, backend := range []string{"file", "vault", "aws"} {
		t.Run(backend, func(t *testing.T) {
			c, outputs := make(canaries), make(map[string]string)
			values := map[string]string{
				"canary/admin": c.plant("admin token"), "canary/audit": c.plant("audit key"), "canary/jwt": c.plant("HMAC key"),
				"canary/introspection": c.plant("introspection secret"), "canary/static": c.plant("static token"), "canary/cookie": strings.ReplaceAll(c.plant("cookie value"), " ", "-"),
				"canary/basic": `{"user":"` + c.plant("basic user") + `","password":"` + c.plant("basic password") + `"}`, "canary/client": c.plant("client secret"),
			}
			values["canary/admin"] = strings.ReplaceAll(values["canary/admin"], " ", "-")
			apiKey := strings.ReplaceAll(c.plant("good API key"), " ", "-")
			hash := sha256.Sum256([]byte(apiKey))
			c["hash of an API key"] = hex.EncodeToString(hash[:12])
			values["canary/keys"] = `[{"id":"acme","hash":"sha256:` + hex.EncodeToString(hash[:]) + `","subject":"acme"}]`
			secrets, broken := plantedBackend(t, backend, c, values)
			peer := startHostile(t, c.plant("a peer's words"), http.NotFoundHandler())
			peer.mode.Store(1)
			upstream := startHostile(t, c.plant("an upstream's words"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
			audit := filepath.Join(t.TempDir(), "audit.jsonl")
			config := write(t, "gateway.yaml", fmt.Sprintf(canaryConfig, secrets, audit, peer.URL, neturl.QueryEscape(c.plant("URL's query")), upstream.URL))

			var stdout, stderr peertest.Buffer
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, []string{"run", "-c", config}, streams{strings.NewReader(""), &stdout, &stderr})
			}()
			clients, operators := address(t, &stderr, "gateway serves"), address(t, &stderr, "admin serves")

			ask := newAsker(t, c, clients, outputs, values["canary/jwt"])
			ask.headers = append(ask.headers, []string{"X-API-Key: " + apiKey})
			ask.all("while all is well but the peers")
			for mode := int64(1); mode <= upstream.modes; mode++ {
				upstream.mode.Store(mode)
				peer.mode.Store(mode)
				ask.all(fmt.Sprintf("peers and upstream in mode %d", mode))
			}
			commands(t, config, audit, c, outputs, "before")
			for mode := int64(1); mode <= 5; mode++ {
				broken(mode)
				ask.all(fmt.Sprintf("backend in mode %d", mode))
				ask.admin(operators, values["canary/admin"])
				time.Sleep(1100 * time.Millisecond) // what is tested is that a refresh goes by
			}
			awaitStatus(t, "http://"+clients+"/static", http.StatusServiceUnavailable) // max_stale has passed
			ask.all("max_stale has passed")
			ask.admin(operators, values["canary/admin"])
			commands(t, config, audit, c, outputs, "after")
			end()
			if status := <-ended; status != exitOK {
				t.Errorf("ended with %d", status)
			}
			outputs["access log"], outputs["log"] = stdout.String(), stderr.String()
			outputs["audit log"], outputs["audit head"] = read(t, audit), read(t, audit+".head")
			for _, where := range []string{"log", "access log", "audit log", "audit head"} {
				if outputs[where] == "" {
					t.Errorf("there is no %s", where)
				}
			}
			c.search(t, outputs)
		})
	}
}

// plantedBackend puts the values into a real backend, and returns its block of
// the configuration and how to break it.
func plantedBackend(t *testing.T, backend string, c canaries, values map[string]string) (block string, broken func(mode int64)) {
	t.Helper()
	forward := func(to string) http.Handler {
		target, err := neturl.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	}
	switch backend {
	case "vault":
		vault := peertest.Vault(t)
		for path, value := range values {
			data := map[string]any{"value": value}
			if path == "canary/basic" {
				data = nil
				if err := json.Unmarshal([]byte(value), &data); err != nil {
					t.Fatal(err)
				}
			}
			vault.Do(t, "POST", "secret/data/"+path, map[string]any{"data": data})
		}
		own := "canary" + rand.Text() // Vault takes no other characters
		c["Vault token"] = own[6:]
		vault.Do(t, "POST", "auth/token/create", map[string]any{"id": own, "policies": []string{"root"}})
		t.Setenv("VAULT_TOKEN", own)
		front := startHostile(t, c.plant("Vault's words"), forward(vault.Address))
		return fmt.Sprintf("backend: vault, vault: {address: %q}", front.URL), front.mode.Store
	case "aws":
		moto := peertest.Moto(t)
		for path, value := range values {
			moto.Do(t, "CreateSecret", map[string]any{"Name": path, "SecretString": value, "ClientRequestToken": strings.Repeat("c", 32)})
		}
		t.Setenv("AWS_ACCESS_KEY_ID", "id")
		t.Setenv("AWS_SECRET_ACCESS_KEY", c.plant("AWS secret key"))
		t.Setenv("AWS_SESSION_TOKEN", c.plant("AWS session token"))
		front := startHostile(t, c.plant("AWS's words"), forward(moto.Endpoint))
		return fmt.Sprintf("backend: aws, aws: {region: %q, endpoint: %q}", moto.Region, front.URL), front.mode.Store
	}
	folder := t.TempDir()
	put := func(path, text string) {
		name := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, value := range values {
		put(path, value)
	}
	return fmt.Sprintf("backend: file, file: {dir: %q}", folder), func(mode int64) {
		for path, value := range values {
			switch mode {
			case 1: // what cannot stand in a header, is no document, or is too large
				put(path, value+"\r\nX: y")
			case 2:
				put(path, `{"user":"`+value+`","user":"`+value+`"`)
			case 3:
				put(path, strings.Repeat(value, 1<<16))
			case 4:
				put(path, "")
			default:
				_ = os.Remove(filepath.Join(folder, path))
			}
		}
	}
}

// address waits for the line of the log that tells an address.
func address(t *testing.T, log *peertest.Buffer, line string) string {
	t.Helper()
	told := regexp.MustCompile(`"msg":"` + line + `","address":"([^"]+)"`)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := told.FindStringSubmatch(log.String()); found != nil {
			return found[1]
		}
	}
	t.Fatalf("%q was not logged:\n%s", line, log)
	return ""
}

// asker sends requests with canaries wherever a caller can put one, and keeps
// what the gateway itself answers.
type asker struct {
	t                     *testing.T
	c                     canaries
	to                    string
	outputs               map[string]string
	sent                  int
	headers               [][]string
	query, userinfo       string
	wrongToken, explained string
}

func newAsker(t *testing.T, c canaries, to string, outputs map[string]string, hmacKey string) *asker {
	t.Helper()
	signer, err := token.NewSigner([]byte(hmacKey), "HS256", "")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(issuer string) string {
		signed, err := signer.Sign(map[string]any{"iss": issuer, "aud": "orders-api", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "note": c.plant("claim of a token")}, "JWT")
		if err != nil {
			t.Fatal(err)
		}
		c["signature of a token of "+issuer] = signed[len(signed)-32:]
		return "Authorization: Bearer " + signed
	}
	key, cookie := "X-Api-Key: "+c.plant("API key"), "Cookie: session="+strings.ReplaceAll(c.plant("cookie"), " ", "-")
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+c.plant("password")))
	good := sign("https://issuer.test")
	return &asker{
		t: t, c: c, to: to, outputs: outputs,
		query: "?access_token=" + neturl.QueryEscape(c.plant("query")), userinfo: neturl.QueryEscape(c.plant("userinfo of a target")),
		wrongToken: c.plant("wrong admin token"),
		explained: fmt.Sprintf(`{"url":"http://gateway.test/test?access_token=%s","headers":{"X-Api-Key":%q,"Authorization":"Bearer %s"}}`,
			neturl.QueryEscape(c.plant("explained query")), c.plant("explained API key"), c.plant("explained token")),
		headers: [][]string{
			{key, cookie}, {good, key, cookie}, {sign("https://far.test")}, {sign("https://none.test")},
			{"Authorization: Bearer " + c.plant("opaque token")}, {basic, cookie}, {good, basic},
			{"Proxy-Authorization: " + c.plant("proxy password"), "Connection: Authorization", key},
		},
	}
}

func (a *asker) all(when string) {
	a.t.Helper()
	for _, path := range []string{"/static", "/query", "/cookie", "/basic", "/crm", "/post", "/test", "/keys", "/opaque", "/none", "/a%2e%2e/b"} {
		for _, headers := range a.headers {
			a.send(when, "GET "+path+a.query+" HTTP/1.1", headers)
		}
		a.send(when, "POST http://ann:"+a.userinfo+"@"+a.to+path+a.query+" HTTP/1.1", a.headers[0])
	}
}

// send writes one request as it stands, and keeps the answer unless it is the
// upstream's.
func (a *asker) send(when, line string, headers []string) {
	a.t.Helper()
	conn, err := net.DialTimeout("tcp", a.to, 5*time.Second)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	request := line + "\r\nHost: gateway.test\r\nContent-Length: 0\r\nConnection: close\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		a.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if a.sent++; bytes.Contains(answer, []byte("application/problem+json")) {
		a.outputs[fmt.Sprintf("answer %d, %s", a.sent, when)] = string(answer)
	}
}

// admin asks all there is to be asked of operators, with the token and without.
func (a *asker) admin(operators, adminToken string) {
	a.t.Helper()
	for _, line := range []string{
		"GET /readyz?verbose HTTP/1.1", "GET /metrics HTTP/1.1", "GET /api/v1/status HTTP/1.1", "GET /debug/pprof/goroutine?debug=2 HTTP/1.1", "GET /debug/pprof/cmdline HTTP/1.1",
		"POST /api/v1/credentials/crm/refresh HTTP/1.1", "POST /api/v1/credentials/static/refresh HTTP/1.1", "POST /api/v1/reload HTTP/1.1",
	} {
		for _, header := range []string{"Authorization: Bearer " + adminToken, "Authorization: Bearer " + a.wrongToken} {
			conn, err := net.DialTimeout("tcp", operators, 5*time.Second)
			if err != nil {
				a.t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = fmt.Fprintf(conn, "%s\r\nHost: %s\r\n%s\r\nConnection: close\r\n\r\n", line, operators, header)
			answer, _ := io.ReadAll(conn)
			_ = conn.Close()
			if len(answer) == 0 {
				a.t.Errorf("%s: no answer", line)
			}
			a.sent++
			a.outputs[fmt.Sprintf("admin answer %d to %s", a.sent, line)] = string(answer)
		}
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+operators+"/api/v1/explain", strings.NewReader(a.explained))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	a.sent++
	a.outputs[fmt.Sprintf("explanation %d", a.sent)] = string(text)
}

// commands runs what there is on the command line, and keeps what it prints but
// for what prints a secret by its nature.
func commands(t *testing.T, config, audit string, c canaries, outputs map[string]string, when string) {
	t.Helper()
	userinfo := write(t, "userinfo.yaml", fmt.Sprintf(`
issuers: {a: {issuer: i, audiences: [a], jwks_url: "https://u:%[1]s@idp.test/jwks"}}
credentials: {c: {type: oauth2, client_id: c, token_url: "https://u:%[1]s@idp.test/token", client_secret: %[2]q}, d: {type: static, token: %[2]q}}
secrets: {vault: {address: "https://u:%[1]s@vault.test"}, aws: {endpoint: "https://u:%[1]s@aws.test"}}
routes: [{name: a, path: /*, auth: {issuers: [a]}, inject: c, upstream: "http://u:%[1]s@up.test"}]
`, neturl.QueryEscape(c.plant("userinfo in the configuration")), c.plant("literal in the configuration")))
	changed := filepath.Join(t.TempDir(), "audit.jsonl")
	for name, text := range map[string]string{changed: strings.Replace(read(t, audit), "deny", "dny", 1), changed + ".head": read(t, audit+".head")} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"validate", "-c", config}, {"validate", "-c", userinfo}, {"run", "-c", userinfo},
		{"explain", "-c", config, "-H", "Authorization: Bearer " + c.plant("explained token"), "-H", "X-API-Key: " + c.plant("explained API key"), "http://gateway.test/test?key=" + neturl.QueryEscape(c.plant("explained query"))},
		{"explain", "-c", config, "http://gateway.test/static"},
		{"audit", "verify", "-c", config, audit}, {"audit", "verify", "-c", config, changed}, {"audit", "verify", "-c", config, "--key", "canary/static", audit},
		{"secrets", "get", "-c", config, "canary/none"}, {"secrets", "get", "-c", config, "canary/static#" + "none"}, {"secrets", "list", "-c", config, "canary/*"},
		{"secrets", "set", "-c", config, "canary/basic/below#x", c.plant("value on the command line")},
		{"healthcheck", "--url", "http://u:" + neturl.QueryEscape(c.plant("userinfo of a health check")) + "@127.0.0.1:1/readyz"},
	} {
		_, out, errs := invoke(t, args...)
		name := fmt.Sprintf("gateway %s %s, %s", args[0], args[1], when)
		outputs[fmt.Sprint(len(outputs), " ", name, ", stdout")], outputs[fmt.Sprint(len(outputs), " ", name, ", stderr")] = out, errs
	}
}
