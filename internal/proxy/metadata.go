package proxy

import (
	"net/http"
	"strconv"
)

// Document is what the gateway itself answers at one path of one host, to
// everybody: the metadata of a protected resource (RFC 9728).
type Document struct {
	Host, Path string // as requests are compared: lower case, without port; in normal form
	Body       []byte // JSON
}

// metadataRoute names the documents in log and metrics; no route can have that name.
const metadataRoute = "(metadata)"

// documentAt is where a document stands.
type documentAt struct{ host, path string }

// newDocuments makes documents ready to serve. Each is found before any route
// is: a route for every path of its host would hide it otherwise.
func (p *Proxy) newDocuments(all []Document) map[documentAt]*route {
	if len(all) == 0 {
		return nil
	}
	documents, series := make(map[documentAt]*route, len(all)), p.metrics.of(metadataRoute)
	for _, d := range all {
		documents[documentAt{d.Host, d.Path}] = &route{Route: Route{Name: metadataRoute, Hosts: []string{d.Host}, Path: d.Path}, full: document(d.Body), series: series}
	}
	return documents
}

// document answers with JSON that pages of every origin may read.
type document []byte

func (d document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leaveBody(w, r)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(d)))
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Request-Id", exchangeOf(r.Context()).id)
	if r.Method != http.MethodHead {
		_, _ = w.Write(d) // who does not listen has left
	}
}

// findDocument chooses the document a request asks for, if there is one.
func (p *Proxy) findDocument(x *exchange) (found bool, err error) {
	rt := p.documents[documentAt{x.hostname, x.at.path}]
	if rt == nil {
		return false, nil
	}
	if x.method != http.MethodGet && x.method != http.MethodHead {
		return true, methodNotAllowed("GET, HEAD")
	}
	x.route = rt
	return true, nil
}
