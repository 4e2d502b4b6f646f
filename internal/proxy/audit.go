package proxy

import (
	"net/http"
	"time"
)

// Denial is a request that a check refused, for the audit log. What a caller
// chose is as it came: whoever writes it down bounds and escapes it.
type Denial struct {
	Time      time.Time
	RequestID string
	Route     string // (none) where no route was found
	Method    string
	Path      string // without query
	Status    int
	Check     string
	Reason    string // one word
	Subject   string // of a verified token
	Issuer    string
	IP        string
	Observed  bool // the route only observes: it went on
}

// checkAudit refuses everything while the audit log cannot be written, where
// that was asked for: what may not be recorded may not be done.
const checkAudit = "audit"

// audited asks Options.Gate.
func (p *Proxy) audited(*exchange) error {
	if err := p.gate(); err != nil {
		return &refusal{status: http.StatusServiceUnavailable, kind: "unavailable", reason: "audit", cause: err,
			detail: "requests cannot be served at the moment", header: []field{{"Retry-After", "5"}}}
	}
	return nil
}

// audit tells of a request that was denied.
func (rec *record) audit() {
	x := rec.x
	if rec.p.onDenied == nil || x.decision() != "deny" {
		return
	}
	d := Denial{
		Time: x.start, RequestID: x.id, Route: x.routeName(), Method: capped(x.method, 32), Path: x.loggedPath(), Status: rec.status,
		Check: x.failed, Reason: x.reason, IP: x.client.String(),
	}
	if x.principal != nil {
		d.Subject, d.Issuer = x.principal.Subject, x.principal.Issuer
	}
	if o := x.observed; o != nil && x.failed == "" {
		d.Check, d.Reason, d.Observed = o.check, o.refusal.reason, true
	}
	rec.p.onDenied(d)
}
