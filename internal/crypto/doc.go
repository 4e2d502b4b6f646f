// Package crypto answers how bytes are sealed: so that no service behind the
// gateway needs cryptography of its own.
//
// [HashPassword] makes a password hash and [ParsePasswordHash] reads one, in the
// forms that are in use elsewhere too; [Workers] bounds how many are computed at
// once.
//
// # Security
//
// The arithmetic is the standard library's and golang.org/x/crypto's. A password
// hash says itself what it costs to check, so every parameter read from one has
// a ceiling, and a text that is not exactly what its reading would be written as
// is refused. No error quotes a password or a hash.
package crypto
