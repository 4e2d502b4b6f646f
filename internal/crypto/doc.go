// Package crypto answers how bytes are sealed: so that no service behind the
// gateway needs cryptography of its own.
//
// A [Keyring] is made of a [Document], the versions of a key in the secret
// backend: the primary seals, all that are not retired open. [Usage] counts what
// each key did.
//
// [HashPassword] makes a password hash and [ParsePasswordHash] reads one, in the
// forms that are in use elsewhere too; [Workers] bounds how many are computed at
// once.
//
// # Security
//
// The arithmetic is the standard library's, golang.org/x/crypto's, fernet-go's
// and tink-go's. Whatever is wrong with a ciphertext the error is the same, and
// each has one spelling. An AES-256-GCM key stops at 2^32 encryptions. A password
// hash says itself what it costs to check, so every parameter read from one has
// a ceiling, and a text that is not exactly what its reading would be written as
// is refused. No error quotes a password or a hash.
package crypto
