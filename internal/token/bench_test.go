package token

import "testing"

func BenchmarkParse(b *testing.B) {
	raw := forge(b, "HS256", `{"alg":"HS256","kid":"2026-01","typ":"at+jwt"}`, benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

const benchPayload = `{"iss":"https://idp.example.com/","sub":"alice","aud":["orders-api"],"exp":2000000000,"iat":1700000000,"jti":"b9f2","scope":"orders:read orders:write","tenant":"acme"}`

func BenchmarkParseAndVerify(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			raw := forge(b, alg, `{"alg":"`+alg+`","kid":"2026-01","typ":"at+jwt"}`, benchPayload)
			key := oneKey(b, stored(b, keysOnce().private(alg)), KeyOptions{ID: "2026-01"})
			b.ReportAllocs()
			for b.Loop() {
				p, err := Parse(raw)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Verify(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
