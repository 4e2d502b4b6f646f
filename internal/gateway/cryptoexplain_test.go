package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

// What explain says of a call of the crypto API is what the call gets.
func TestExplainTellsOfTheCryptoAPI(t *testing.T) {
	t.Parallel()
	dir := keyFiles(t)
	text := strings.Replace(cryptoHead(dir), "keyrings:", "keyrings:\n  none: {type: fernet, keys: \"${secret:crypto/none}\"}", 1)
	g := start(t, text, nil)
	explainer := explained(t, text, environment{})
	for name, c := range map[string]struct {
		method, path, scope string // scope "-": no token
		status              int
		check, why          string
	}{
		"passes":             {"POST", "/keyrings/pii/encrypt", "crypto:encrypt:pii", 200, "service", "once it has read the body"},
		"its scope":          {"POST", "/keyrings/pii/encrypt", "crypto:encrypt:pii", 200, "authorise", "scope crypto:encrypt, or crypto:encrypt:pii"},
		"no scope needed":    {"GET", "/openapi.json", "", 200, "service", "the gateway answers itself"},
		"HEAD":               {"HEAD", "/keyrings", "crypto:admin", 200, "service", ""},
		"no token":           {"POST", "/keyrings/pii/encrypt", "-", 401, "authenticate", "no credential"},
		"scope":              {"POST", "/keyrings/pii/decrypt", "crypto:encrypt", 403, "authorise", "missing scope crypto:decrypt, or crypto:decrypt:pii"},
		"scope of all":       {"POST", "/tokens", "crypto:encrypt", 403, "authorise", "missing scope crypto:generate"},
		"scope of another":   {"POST", "/keyrings/pii/encrypt", "crypto:encrypt:sign", 403, "authorise", "missing scope crypto:encrypt"},
		"no such keyring":    {"POST", "/keyrings/other/encrypt", "crypto:encrypt", 404, "service", "no such keyring"},
		"not to be had":      {"POST", "/keyrings/none/encrypt", "crypto:encrypt", 503, "service", "cannot be used at the moment"},
		"no such call":       {"POST", "/keyrings/pii/shred", "crypto:admin", 404, "service", "no such call"},
		"another method":     {"GET", "/tokens", "crypto:generate", 405, "service", "takes POST"},
		"no method of it":    {"DELETE", "/keyrings/pii", "crypto:admin", 405, "route", "DELETE is not one of the methods here: GET, HEAD, POST"},
		"the API's own path": {"GET", "", "", 404, "service", "no such call"},
	} {
		headers := []string{bearer(mint(t, map[string]any{"scope": c.scope}))}
		if c.scope == "-" {
			headers = nil
		}
		e := ask(t, explainer, c.method, "/crypto/v1"+c.path, headers...)
		told := false
		for _, check := range e.Checks {
			told = told || check.Name == c.check && strings.Contains(check.Reason, c.why) && check.Result == map[bool]string{true: "pass", false: "deny"}[c.status == 200]
		}
		if route := map[bool]string{true: "", false: "(crypto)"}[c.check == "route"]; e.Status != c.status || e.Route != route || !told || len(e.Upstream) > 0 || len(e.Inject) > 0 {
			t.Errorf("%s: %+v", name, e)
		}
		body := ""
		if c.method == http.MethodPost {
			body = `{"plaintext": "x"}`
		}
		if a := send(t, c.method, g.URL+"/crypto/v1"+c.path, body, headers...); a.Status != c.status {
			t.Errorf("%s: explained as %d, answered with %d %s", name, c.status, a.Status, a.Body)
		}
	}
}
