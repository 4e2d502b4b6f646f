// Package upstream says which server a request goes to, and how it is reached.
//
// A [Pool] is the servers of one route; [NewTransport] makes the HTTP/1.1
// client they share.
//
// # Security
//
// No proxy of the environment is used, no redirect is followed and no answer is
// decompressed: what the upstream says is handed on as it said it. An answer's
// header is bounded to 1 MiB.
package upstream

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// Pool hands out the servers of one upstream in turn.
type Pool struct {
	servers []*url.URL
	next    atomic.Uint64
}

// NewPool returns a Pool of the servers at urls: http or https, a host, and a
// base path if wanted; nothing else.
func NewPool(urls []string) (*Pool, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("upstream: no URL")
	}
	p := new(Pool)
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("upstream: not an http or https URL of host and path alone")
		}
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
		p.servers = append(p.servers, u)
	}
	return p, nil
}

// Next returns the server whose turn it is. The caller must not change it.
func (p *Pool) Next() *url.URL {
	if len(p.servers) == 1 {
		return p.servers[0]
	}
	return p.servers[(p.next.Add(1)-1)%uint64(len(p.servers))]
}

// Servers returns all servers of the pool. The caller must not change them.
func (p *Pool) Servers() []*url.URL { return p.servers }
