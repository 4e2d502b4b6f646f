package auth

import "testing"

func BenchmarkAuthenticate(b *testing.B) {
	ec := newECKey(b)
	for alg, material := range map[string][]byte{"HS256": []byte(testSecret), "RS256": privatePEM(b, rsaKey()), "ES256": privatePEM(b, ec)} {
		b.Run(alg, func(b *testing.B) {
			a := accepting(newIssuer(b, IssuerOptions{Keys: []KeySource{static(b, fixed("k", "", material))}}))
			h := bearerOf(sign(b, signer(b, material, "", "k"), claims(map[string]any{"scope": "orders:read orders:write"})))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
