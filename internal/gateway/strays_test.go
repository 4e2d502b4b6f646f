package gateway_test

import (
	"fmt"
	"strings"
	"testing"
)

const cookieRoutes = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
secrets: {backend: env}
issuers:
  test: {issuer: https://issuer.test, audiences: [orders-api], keys: [{algorithm: HS256, key: "${secret:jwt/key}"}], from: [header, "cookie:session"]}
credentials:
  query: {type: static, token: "${secret:up}", query: api_key}
  cookie: {type: static, token: "${secret:up}", cookie: upstream}
  header: {type: static, token: "${secret:up}", header: X-Upstream}
routes:
  - {name: app, path: "/app/*", auth: {issuers: [test]}, upstream: "%[1]s"}
  - {name: open, path: "/open/*", auth: public, upstream: "%[1]s"}
  - {name: watched, path: "/watched/*", auth: {issuers: [test], mode: observe}, inject: [query, cookie, header], upstream: "%[1]s"}
`

// A browser sends the cookie that opens one route to every path of its host.
func TestTokenInACookieReachesNoUpstreamOfAnotherRoute(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cookieRoutes, startEcho(t).URL), environment{"JWT_KEY": hmacKey, "UP": "upstream-key"})
	token := mint(t, nil)
	for _, path := range []string{"/app/1", "/open/1", "/watched/1"} {
		seen := send(t, "GET", g.URL+path, "", "Cookie: a=b; session="+token+"; c=d", "Cookie: ses%73ion="+token).seen(t)
		if text := fmt.Sprint(seen); strings.Contains(text, token) || !strings.Contains(text, "a=b; c=d") {
			t.Errorf("%s: the upstream saw %s", path, text)
		}
	}
}

// Where a route only observes, nobody knows who a stranger is: what he puts in the
// place of an injected credential goes no further, as it would not beside one.
func TestObserveLetsNoStrangerSpeakInTheCredentialsPlace(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf(cookieRoutes, startEcho(t).URL), environment{"JWT_KEY": hmacKey, "UP": "upstream-key"})
	for name, headers := range map[string][]string{"no token": nil, "a bad one": {bearer("bad")}} {
		seen := send(t, "GET", g.URL+"/watched/1?a=b&api_key=forged&api%5Fkey=forged", "",
			append(headers, "Cookie: upstream=forged; c=d", "X-Upstream: forged", "X_Upstream: forged")...).seen(t)
		if text := fmt.Sprint(seen); strings.Contains(text, "forged") || strings.Contains(text, "upstream-key") || !strings.Contains(text, "a=b") || !strings.Contains(text, "c=d") {
			t.Errorf("%s: the upstream saw %s", name, text)
		}
	}
}
