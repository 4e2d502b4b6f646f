package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	maxResponseHeader = 1 << 20 // bytes
	idlePerHost       = 256     // kept-alive connections to one server
	idleTimeout       = 60 * time.Second
	expectTimeout     = time.Second // then the body is sent unasked (RFC 9110, section 10.1.1)
)

// TransportOptions are how servers are reached; zero durations mean no limit.
type TransportOptions struct {
	Connect        time.Duration // TCP, and again TLS
	ResponseHeader time.Duration // from the request's end to the answer's header
	TLS            TLSOptions
}

// TLSOptions name the files for TLS to a server; empty ones are not used.
type TLSOptions struct {
	CAFile, CertFile, KeyFile string
	ServerName                string
	InsecureSkipVerify        bool
}

// NewTransport returns an HTTP/1.1 client for servers reached by o.
func NewTransport(o TransportOptions) (*http.Transport, error) {
	config, err := ClientTLS(o.TLS)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: o.Connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    o.Connect,
		ResponseHeaderTimeout:  o.ResponseHeader,
		ExpectContinueTimeout:  expectTimeout,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true,
		Protocols:              protocols,
	}, nil
}

// ClientTLS returns a client's TLS configuration: TLS 1.2 or newer, the
// system's certificate authorities unless o names its own.
func ClientTLS(o TLSOptions) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         o.ServerName,
		InsecureSkipVerify: o.InsecureSkipVerify,
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream: read certificate authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("upstream: %s holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" || o.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("upstream: load client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
