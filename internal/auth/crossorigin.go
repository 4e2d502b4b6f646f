package auth

import (
	"fmt"
	"net/http"
	"net/url"
)

// sameOrigin refuses with ErrCrossOrigin what another site made a browser send:
// a browser adds its cookies to that too. GET, HEAD and OPTIONS pass, since they
// change nothing; but not the GET that opens a WebSocket, over which everything
// can be said and whose answer every site may read.
func sameOrigin(r Request) error {
	method := r.Method()
	if len(r.Values("Upgrade")) > 0 {
		method = http.MethodPost
	}
	header := make(http.Header, 2)
	for _, name := range []string{"Sec-Fetch-Site", "Origin"} {
		switch values := r.Values(name); len(values) {
		case 0:
		case 1:
			header[name] = values
		default:
			return fmt.Errorf("%w: %d %s fields", ErrCrossOrigin, len(values), name)
		}
	}
	err := http.NewCrossOriginProtection().Check(&http.Request{Method: method, Host: r.Host(), Header: header, URL: new(url.URL)})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	return nil
}
