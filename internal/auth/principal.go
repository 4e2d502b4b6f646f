// Package auth answers who is calling.
//
// An [Authenticator] stands on each route. It finds the one credential of a
// [Request] in the places the route accepts, and hands it to the [Kind] it is
// of: [Tokens], [APIKeys], [ClientCertificates]. For a token that is the [Issuer]
// it names among those the route trusts: where signature and claims are in order,
// there is a [Principal]. Keys come from a [KeySource]: the secret store
// ([StaticKeys]) or a URL ([KeySet]). An opaque token is the issuer's own to judge
// ([Introspection]).
//
// # Security
//
// More than one credential is refused, whatever they are: nobody should have to
// know which one counts. Every place where one may stand is emptied before the
// upstream ([Authenticator.Places]).
//
// The issuer is chosen by the exact text of iss, and keys are looked up in that
// issuer alone: a key of one issuer never vouches for another, whatever its kid.
// The algorithm must be one the issuer lists and one the key is for.
//
// No request waits for keys. They are fetched in the background, at most once
// per cooldown because of unknown kids, and a fetch that fails takes no key
// away. Where keys are not to be had the answer is [ErrUnavailable], never a
// principal. What is waited for, in bounded time, is the issuer's word on one
// opaque token and the turn of a slow hash.
//
// What is remembered of tokens and keys ([Cache]) stands under keyed hashes, is
// bounded, and decides nothing by itself.
package auth

import "time"

// Principal is an authenticated caller. It is shared by the requests of that
// caller, and must not be changed.
type Principal struct {
	Subject   string
	Issuer    string         // the issuer's name in the configuration
	IssuerURL string         // iss
	KeyID     string         // of the key that verified the token; may be empty
	Scopes    []string       // sorted, each once
	Claims    map[string]any // all of the token's; numbers are json.Number
	Expires   time.Time      // exp

	verdicts *verdicts // nil: none are kept
}
