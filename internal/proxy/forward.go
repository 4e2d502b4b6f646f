package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
)

var errForward = errors.New("claim cannot be sent as a header")

// maxForward bounds a claim that is sent as a header, in bytes.
const maxForward = 8 << 10

// forwarding is a claim and the header it goes upstream in.
type forwarding struct{ header, claim string }

// newForwardings puts a route's map in a fixed order.
func newForwardings(m map[string]string) []forwarding {
	list := make([]forwarding, 0, len(m))
	for header, claim := range m {
		list = append(list, forwarding{http.CanonicalHeaderKey(header), claim})
	}
	slices.SortFunc(list, func(a, b forwarding) int { return strings.Compare(a.header, b.header) })
	return list
}

// forwardFields returns the header fields that tell the upstream of pr. A claim
// that is absent or null has no field; one that holds a control character is an
// error, since it would be cut or split (CWE-113).
func forwardFields(list []forwarding, pr *auth.Principal) ([]field, error) {
	if len(list) == 0 {
		return nil, nil
	}
	set := make([]field, 0, len(list))
	for _, f := range list {
		claim := pr.Claims[f.claim]
		if claim == nil {
			continue
		}
		value, err := headerText(claim)
		if err != nil {
			return nil, fmt.Errorf("forward %s: %w", f.header, err)
		}
		set = append(set, field{f.header, value})
	}
	return set, nil
}

// headerText is a claim as a header value: a string as it stands, a list of
// strings joined by commas, anything else as JSON.
func headerText(claim any) (string, error) {
	text := ""
	switch v := claim.(type) {
	case string:
		text = v
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			s, ok := element.(string)
			if !ok || strings.ContainsAny(s, ",") {
				return jsonText(claim)
			}
			parts[i] = s
		}
		text = strings.Join(parts, ",")
	default:
		return jsonText(claim)
	}
	return text, sendable(text)
}

func jsonText(v any) (string, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return "", errForward
	}
	return string(encoded), sendable(string(encoded))
}

func sendable(s string) error {
	if len(s) > maxForward || s != strings.TrimSpace(s) {
		return errForward
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return errForward
		}
	}
	return nil
}
