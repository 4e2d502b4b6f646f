package credentials

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// The cases oauth-04, oauth-09 and what stands in section 6 of the contract.
func TestAnswersThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body    string
		seconds int64
	}{
		"all there":                        {`{"access_token":"t","token_type":"Bearer","expires_in":3600}`, 3600},
		"no type":                          {`{"access_token":"t","expires_in":60}`, 60},
		"type null":                        {`{"access_token":"t","token_type":null,"expires_in":60}`, 60},
		"type in capitals":                 {`{"access_token":"t","token_type":"BEARER","expires_in":60}`, 60},
		"no lifetime":                      {`{"access_token":"t"}`, 300},
		"lifetime null":                    {`{"access_token":"t","expires_in":null}`, 300},
		"lifetime in a string":             {`{"access_token":"t","expires_in":"3599"}`, 3599},
		"lifetime in a string, from zero":  {`{"access_token":"t","expires_in":"0060"}`, 60},
		"lifetime with a fraction":         {`{"access_token":"t","expires_in":3599.9}`, 3599},
		"lifetime with an exponent":        {`{"access_token":"t","expires_in":3.6e3}`, 3600},
		"lifetime of one second":           {`{"access_token":"t","expires_in":1}`, 1},
		"lifetime of a week":               {`{"access_token":"t","expires_in":604800}`, 86400},
		"lifetime of 10 to the 18":         {`{"access_token":"t","expires_in":1000000000000000000}`, 86400},
		"lifetime of 10 to the 18, quoted": {`{"access_token":"t","expires_in":"1000000000000000000"}`, 86400},
		"lifetime beyond any number":       {`{"access_token":"t","expires_in":1e999}`, 86400},
		"no error":                         {`{"access_token":"t","expires_in":60,"error":null}`, 60},
		"other members":                    {`{"access_token":"t","expires_in":60,"scope":"a b","x":[{}]}`, 60},
		"names in another case":            {`{"access_token":"t","expires_in":60,"Token_Type":"mac"}`, 60},
		"white space around":               {" \r\n{\"access_token\":\"t\",\"expires_in\":60}\n", 60},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := readAnswer(200, jsonHeader(), []byte(tt.body))
			if err != nil || a != (answer{"t", tt.seconds}) {
				t.Errorf("readAnswer = %d s, %v; want %d s", a.seconds, err, tt.seconds)
			}
		})
	}
}

// The cases oauth-03, oauth-05 and oauth-09.
func TestAnswersThatAreRefused(t *testing.T) {
	t.Parallel()
	for reason, answers := range map[string]map[string]string{
		reasonFormat: {
			"empty":                       ``,
			"a login page":                `<html>canary</html>`,
			"an array":                    `[{"access_token":"canary","expires_in":60}]`,
			"a string":                    `"canary"`,
			"form encoding":               `access_token=canary&token_type=bearer&expires_in=60`,
			"an error that is an object":  `{"access_token":"canary","error":{"code":"canary"}}`,
			"a token that is a number":    `{"access_token":1,"expires_in":60}`,
			"a token twice":               `{"access_token":"a","access_token":"canary","expires_in":60}`,
			"a token twice, once escaped": `{"access_token":"a","acces\u0073_token":"canary","expires_in":60}`,
			"bytes that are not UTF-8":    "{\"access_token\":\"canary\",\"x\":\"\xff\"}",
			"two objects":                 `{"access_token":"canary","expires_in":60}{}`,
			"an object that does not end": `{"access_token":"canary","expires_in":60`,
			"a type that is a number":     `{"access_token":"canary","token_type":1,"expires_in":60}`,
			"a lifetime that is NaN":      `{"access_token":"canary","expires_in":NaN}`,
			"a lifetime twice":            `{"access_token":"canary","expires_in":60,"expires_in":3600}`,
		},
		reasonToken: {
			"null":                      `null`,
			"an empty object":           `{}`,
			"an empty token":            `{"access_token":"","expires_in":60}`,
			"a token that is null":      `{"access_token":null,"expires_in":60}`,
			"a token with a line's end": `{"access_token":"canary\r\nX-Admin: 1","expires_in":60}`,
			"a token with a line feed":  `{"access_token":"canary\n","expires_in":60}`,
			"a token with a NUL":        `{"access_token":"canary\u0000","expires_in":60}`,
			"a token with a space":      `{"access_token":"canary b","expires_in":60}`,
			"a token with a delete":     `{"access_token":"canary\u007f","expires_in":60}`,
			"a token beyond ASCII":      `{"access_token":"canary\u00e9","expires_in":60}`,
			"a token over 16 KiB":       `{"access_token":"` + strings.Repeat("c", maxValue+1) + `","expires_in":60}`,
		},
		reasonRefused: {
			"an error":                `{"error":"invalid_client","error_description":"canary"}`,
			"an error beside a token": `{"access_token":"canary","expires_in":60,"error":"invalid_client"}`,
			"an error of its own":     `{"error":"canary"}`,
		},
		reasonType: {
			"the type mac":        `{"access_token":"canary","token_type":"mac","expires_in":60}`,
			"the type DPoP":       `{"access_token":"canary","token_type":"DPoP","expires_in":60}`,
			"an empty type":       `{"access_token":"canary","token_type":"","expires_in":60}`,
			"a type with a space": `{"access_token":"canary","token_type":"bearer ","expires_in":60}`,
		},
		reasonLifetime: {
			"a lifetime of zero":           `{"access_token":"canary","expires_in":0}`,
			"a lifetime of minus zero":     `{"access_token":"canary","expires_in":-0}`,
			"a negative lifetime":          `{"access_token":"canary","expires_in":-60}`,
			"a lifetime below a second":    `{"access_token":"canary","expires_in":0.5}`,
			"a lifetime next to nothing":   `{"access_token":"canary","expires_in":1e-999}`,
			"a lifetime in words":          `{"access_token":"canary","expires_in":"an hour"}`,
			"a lifetime with a unit":       `{"access_token":"canary","expires_in":"60s"}`,
			"an empty lifetime":            `{"access_token":"canary","expires_in":""}`,
			"a negative lifetime, quoted":  `{"access_token":"canary","expires_in":"-60"}`,
			"a signed lifetime":            `{"access_token":"canary","expires_in":"+60"}`,
			"a fraction, quoted":           `{"access_token":"canary","expires_in":"60.5"}`,
			"an exponent, quoted":          `{"access_token":"canary","expires_in":"6e1"}`,
			"a hexadecimal lifetime":       `{"access_token":"canary","expires_in":"0x60"}`,
			"a lifetime of NaN, quoted":    `{"access_token":"canary","expires_in":"NaN"}`,
			"a lifetime of Inf, quoted":    `{"access_token":"canary","expires_in":"Inf"}`,
			"a lifetime that is true":      `{"access_token":"canary","expires_in":true}`,
			"a lifetime that is an array":  `{"access_token":"canary","expires_in":[60]}`,
			"a lifetime that is an object": `{"access_token":"canary","expires_in":{"s":60}}`,
		},
		reasonTooLarge: {
			"over 1 MiB": `{"access_token":"canary","x":"` + strings.Repeat("x", maxAnswer) + `"}`,
		},
	} {
		for name, body := range answers {
			t.Run(name, func(t *testing.T) {
				if got := reasonOf(mustRefuse(t, 200, jsonHeader(), body)); got != reason {
					t.Errorf("the reason is %s, want %s", got, reason)
				}
			})
		}
	}
}

func TestAnswersThatAreNotJSONByTheirHeader(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":"canary","expires_in":60}`
	for _, kind := range []string{"", "text/html", "text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonx", "json", ";"} {
		mustRefuse(t, 200, http.Header{"Content-Type": {kind}}, good)
	}
	mustRefuse(t, 200, http.Header{}, good)
	mustRefuse(t, 200, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, good)
	for _, kind := range []string{"application/json;charset=UTF-8", "APPLICATION/JSON", "application/token+json"} {
		if _, err := readAnswer(200, http.Header{"Content-Type": {kind}}, []byte(good)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestFailuresKeepTheirKindAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{400, `{"error":"invalid_scope","error_description":"canary"}`, "token endpoint: status 400: refused: invalid_scope"},
		{401, `{"error":"invalid_client"}`, "token endpoint: status 401: refused: invalid_client"},
		{401, `{"error":"canary"}`, "token endpoint: status 401: refused: an error code that is not OAuth's"},
		{500, `canary`, "token endpoint: status 500: refused: no error code"},
		{503, ``, "token endpoint: status 503: refused: no error code"},
		{401, `{"access_token":"canary","expires_in":60}`, "token endpoint: status 401: refused: no error code"},
		{307, `{"access_token":"canary","expires_in":60}`, "token endpoint: status 307: a redirect, which is not followed with credentials"},
		{200, `{"error":"temporarily_unavailable"}`, "token endpoint: status 200: refused: temporarily_unavailable"},
		{204, ``, "token endpoint: status 204: the answer is not the JSON object of RFC 6749, section 5.1"},
	} {
		if err := mustRefuse(t, tt.status, jsonHeader(), tt.body); err.Error() != tt.want {
			t.Errorf("%d %s: %v; want %s", tt.status, tt.body, err, tt.want)
		}
	}
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func mustRefuse(t *testing.T, status int, h http.Header, body string) error {
	t.Helper()
	a, err := readAnswer(status, h, []byte(body))
	e, ok := errors.AsType[*endpointError](err)
	if !ok || a != (answer{}) {
		t.Fatalf("readAnswer = %+v, %v; want an endpointError", a, err)
	}
	if e.status != status || strings.Contains(err.Error(), "canary") {
		t.Errorf("refused with %q", err)
	}
	return err
}
