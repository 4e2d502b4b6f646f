package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/config"
)

// certificateCheck is how often the files are looked at.
const certificateCheck = time.Second

// certificates is the client listener's TLS, following its files.
type certificates struct {
	options config.TLS
	log     *slog.Logger
	current atomic.Pointer[tls.Config]
	seen    [3]stamp
}

// stamp tells one version of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

func newCertificates(o config.TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{options: o, log: log, seen: stamps(o)}
	loaded, err := loadTLS(o)
	if err != nil {
		return nil, err
	}
	c.current.Store(loaded)
	return c, nil
}

// config is what the listener is given: each handshake takes the current files.
func (c *certificates) config() *tls.Config {
	current := c.current.Load().Clone()
	current.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return current
}

// Run reads the files again when they change. A pair that does not fit is
// reported and the old one goes on.
func (c *certificates) Run(ctx context.Context) error {
	tick := time.NewTicker(certificateCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := stamps(c.options)
		if now == c.seen {
			continue
		}
		c.seen = now
		loaded, err := loadTLS(c.options)
		if err != nil {
			c.log.Error("TLS files changed and cannot be used; the old ones go on", "error", err)
			continue
		}
		c.current.Store(loaded)
		c.log.Info("TLS files read again", "cert_file", c.options.CertFile)
	}
}

func stamps(o config.TLS) (s [3]stamp) {
	for i, name := range []string{o.CertFile, o.KeyFile, o.ClientCAFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

func loadTLS(o config.TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s with %s: %w; name a certificate chain and its key, both in PEM", o.CertFile, o.KeyFile, err)
	}
	loaded := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if o.MinVersion == "1.3" {
		loaded.MinVersion = tls.VersionTLS13
	}
	if o.ClientCAFile != "" {
		pem, err := os.ReadFile(o.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca_file: %w", err)
		}
		loaded.ClientCAs = x509.NewCertPool()
		if !loaded.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.client_ca_file: %s holds no PEM certificate", o.ClientCAFile)
		}
		loaded.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return loaded, nil
}
