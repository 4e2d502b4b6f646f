package config

import (
	"encoding/json"
	"testing"
)

// What a claim is of: written as it stands, it is typed; in quotes it is a text;
// what a variable holds counts as if it stood there.
func TestClaimsHaveTheTypesTheyAreWrittenAs(t *testing.T) {
	const route = "\nroutes: [{name: a, path: /, auth: public, upstream: \"http://a\"}]\n"
	c, err := Parse("gateway.yaml", []byte(`credentials:
  svc:
    type: jwt
    signing_key: ${secret:a}
    claims:
      number: 123
      long: 12345678901234567890
      part: 1.50
      text: "123"
      zip: 00123
      yes: true
      word: yes
      date: 2026-01-01
      list: [1, a, "2", [true]]
      block: {a: {b: [c]}}
      number from variable: ${env:N}
      text from variable: "${env:N}"
      empty from variable: ${env:EMPTY:-}
      words: ${env:N} and ${env:N}
`+route), environment("N=7"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(c.Credentials["svc"].Claims)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"block":{"a":{"b":["c"]}},"date":"2026-01-01","list":[1,"a","2",[true]],"long":12345678901234567890,"number":123,` +
		`"number from variable":7,"part":1.50,"text":"123","text from variable":"7","word":"yes","words":"7 and 7","yes":true,"zip":"00123"}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
