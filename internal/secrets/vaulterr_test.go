package secrets_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// The answers that a Vault of this edition, or in this state, does not give.
func TestVaultStatusesAreTold(t *testing.T) {
	t.Parallel()
	for status, c := range map[int]struct {
		body string
		word string
		want []error
	}{
		400: {`{"errors":["` + canary + `"]}`, "(400)", []error{secrets.ErrInvalid}},
		405: {canary, "(405)", []error{secrets.ErrInvalid}},
		412: {canary, "status 412", []error{secrets.ErrUnavailable}},
		429: {canary, "(429)", []error{secrets.ErrThrottled, secrets.ErrUnavailable}},
		472: {canary, "disaster recovery (472)", []error{secrets.ErrUnavailable}},
		473: {canary, "performance standby (473)", []error{secrets.ErrUnavailable}},
		500: {`{"errors":["` + canary + `"]}`, "status 500", []error{secrets.ErrUnavailable}},
		501: {canary, "vault operator init", []error{secrets.ErrUnavailable}},
		502: {"<html>" + canary, "status 502", []error{secrets.ErrUnavailable}},
		503: {"<html>" + canary, "status 503", []error{secrets.ErrUnavailable}},
		504: {canary, "status 504", []error{secrets.ErrUnavailable}},
		200: {canary, "not Vault", []error{secrets.ErrUnavailable}},
		201: {`{"data":{"data":"` + canary + `"}}`, "no secret of KV version 2", []error{secrets.ErrInvalid}},
		203: {`{"data":{"data":{"value":"` + canary, "ended the connection", []error{secrets.ErrUnavailable}},
		204: {"", "no secret", []error{secrets.ErrInvalid}},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "lookup-self") {
					fmt.Fprint(w, `{"data":{"ttl":0,"renewable":false}}`)
					return
				}
				w.WriteHeader(status)
				if status != http.StatusNoContent {
					fmt.Fprint(w, c.body)
				}
			}))
			defer server.Close()
			v := newVault(t, server.URL, nil)
			assertFails(t, v, "a", c.word, c.want...)
			_, err := get(t, v, "a")
			assertClean(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
		})
	}
}

func TestVaultConnectionFailuresAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address string
		word    string
	}{
		"nothing listens": {"http://127.0.0.1:1", "connection refused"},
		"no such host":    {"https://vault.invalid", "cannot be resolved"},
		"no HTTP":         {"http://" + saying(t, canary+"\r\n\r\n"), "not Vault"},
		"no TLS":          {"https://" + saying(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "speaks no TLS"},
		"nothing":         {"http://" + saying(t, ""), "ended the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, c.address, nil)
			assertFails(t, v, "a", c.word, secrets.ErrUnavailable)
			_, err := get(t, v, "a")
			assertClean(t, "the error", fmt.Sprint(err))
		})
	}
}

// saying returns the address of a server that answers with text, and ends the
// connection.
func saying(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(c, text)
			_ = c.(*net.TCPConn).CloseWrite()
			time.AfterFunc(time.Second, func() { c.Close() })
		}
	}()
	return listener.Addr().String()
}

// Each failure there is, with secrets where they could be quoted.
func TestVaultCanaryIsInNoErrorAndNoLog(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	role := newRole(t, peer, nil)
	peer.Do(t, http.MethodPut, "auth/approle/role/app/custom-secret-id", fields{"secret_id": canary})
	peer.Do(t, http.MethodPut, "auth/token/create", fields{"id": canary, "ttl": "1h"})
	put(t, peer, "a", fields{"value": canary, canary: []string{canary}, "number": 1})
	var out lines
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	proxy := peertest.NewFaultProxy(t, peer.Address)
	var shown []string
	for _, auth := range []secrets.VaultAuth{
		{TokenFile: role.file},
		{Method: "approle", RoleID: role.id, SecretIDFile: role.file},
		{Method: "approle", RoleID: canary, SecretIDFile: role.file},
		{Method: "kubernetes", Mount: "approle", Role: "app", JWTFile: role.file},
	} {
		role.write(t, canary)
		v := newVault(t, "http://"+proxy.Address, func(o *secrets.VaultOptions) { o.Auth, o.Log = auth, log })
		look := func() {
			for _, ref := range []string{"a", "a#number", "a#none", "b", "a#" + "f", ".."} {
				_, err := get(t, v, ref)
				shown = append(shown, fmt.Sprintf("%v %+v %#v", err, err, err))
			}
			shown = append(shown, fmt.Sprint(v.Set(t.Context(), secrets.Reference{Path: "c"}, secrets.NewSecret(canary))))
			_, err := v.List(t.Context(), "*")
			shown = append(shown, fmt.Sprint(err))
		}
		look()
		for _, fault := range []func(){proxy.Cut, func() { proxy.CutAfter(300) }, proxy.Normal} {
			fault()
			look()
		}
		role.write(t, "hvs."+canary+canary)
		look()
		role.revoke(t)
		look()
	}
	proxy.Corrupt()
	_, err := get(t, newVault(t, "http://"+proxy.Address, func(o *secrets.VaultOptions) { o.Log = log }), "a")
	shown = append(shown, fmt.Sprint(err))
	shown = append(shown, out.take()...)
	for _, text := range shown {
		assertClean(t, "what is shown", text)
		if strings.Contains(text, url.QueryEscape(canary)) {
			t.Errorf("what is shown has the secret: %s", text)
		}
	}
	if len(shown) < 200 {
		t.Errorf("only %d things shown", len(shown))
	}
}
