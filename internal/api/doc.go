// Package api answers what the gateway answers itself on the client listener.
//
// [Crypto] is the crypto API (CONTRACT 7): it seals, opens, hashes and
// generates for services that have no cryptography of their own. It stands
// behind the same checks as every route, and is told who calls.
//
// [TokenService] is a small issuer (CONTRACT 8): it gives tokens to the clients
// it knows, publishes its keys, tells of its tokens and revokes them. It finds out
// by itself which client calls.
//
// # Security
//
// Each operation asks for its scope, on every keyring or on one, before it looks
// at anything else: who lacks it learns neither whether a keyring exists nor
// what was wrong with the body. Bodies are bounded and read strictly. Every
// decryption that fails is answered with the same bytes. No token is given out
// or revoked, and no key made or rotated, without its record in the audit log.
package api
