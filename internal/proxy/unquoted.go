package proxy

import (
	"strconv"
	"strings"
)

// unquoted is err with what it quotes left out. What net/http says of an answer
// that is no HTTP quotes it, and an upstream may say there what it was told: the
// injected credential too.
type unquoted struct{ error }

func (u unquoted) Error() string {
	var b strings.Builder
	text := u.error.Error()
	for {
		at := strings.IndexByte(text, '"')
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:at])
		quoted, err := strconv.QuotedPrefix(text[at:])
		if err != nil { // the end of the quotation cannot be told
			return b.String() + "…"
		}
		b.WriteString("…")
		text = text[at+len(quoted):]
	}
}

func (u unquoted) Unwrap() error { return u.error }
