package crypto

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// A ciphertext is written gw:v<version>:<base64>, where the base64 is standard
// and padded and holds nonce, ciphertext and tag. There is one text for it.

const sealedPrefix = "gw:v"

func writeSealed(version int, sealed []byte) string {
	size := base64.StdEncoding.EncodedLen(len(sealed))
	text := make([]byte, 0, len(sealedPrefix)+12+size)
	text = append(text, sealedPrefix...)
	text = strconv.AppendInt(text, int64(version), 10)
	text = append(text, ':')
	return string(base64.StdEncoding.AppendEncode(text, sealed))
}

// readSealed takes a ciphertext apart. It is not ok in any spelling but
// writeSealed's own.
func readSealed(text string) (version int, sealed []byte, ok bool) {
	rest, ok := strings.CutPrefix(text, sealedPrefix)
	if !ok {
		return 0, nil, false
	}
	digits, encoded, ok := strings.Cut(rest, ":")
	if !ok || len(digits) > 10 {
		return 0, nil, false
	}
	version, err := strconv.Atoi(digits)
	if err != nil || version < 1 || version > maxVersion || strconv.Itoa(version) != digits {
		return 0, nil, false
	}
	sealed, ok = decode(standardBase64, encoded)
	return version, sealed, ok
}
