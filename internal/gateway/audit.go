package gateway

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/secrets"
)

// auditLog is where events for the audit log go. It is one for the life of the
// process, so that a chain goes on through reloads; one may change the file.
type auditLog struct {
	current atomic.Pointer[auditFile] // nil: there is no audit log
	started atomic.Bool

	// Of the files before this one.
	writtenBefore, droppedBefore atomic.Uint64
}

// auditFile is a log with the key that signs it.
type auditFile struct {
	*audit.Log
	path string
	key  atomic.Pointer[secrets.Value]
	stop func() // nil before it is started
}

func newAuditLog(registry prometheus.Registerer) *auditLog {
	a := new(auditLog)
	count := func(o prometheus.CounterOpts, before *atomic.Uint64, now func(*auditFile) uint64) {
		registry.MustRegister(prometheus.NewCounterFunc(o, func() float64 {
			if f := a.current.Load(); f != nil {
				return float64(before.Load() + now(f))
			}
			return float64(before.Load())
		}))
	}
	count(prometheus.CounterOpts{Name: "gateway_audit_records_total", Help: "Events taken into the audit log."}, &a.writtenBefore, func(f *auditFile) uint64 { return f.Written() })
	count(prometheus.CounterOpts{Name: "gateway_audit_dropped_total", Help: "Events lost because the audit log could not be written."}, &a.droppedBefore, func(f *auditFile) uint64 { return f.Dropped() })
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_audit_failing", Help: "1 while the audit log cannot be written, else 0.",
	}, func() float64 {
		if f := a.current.Load(); f != nil && f.Err() != nil {
			return 1
		}
		return 0
	}))
	return a
}

// auditLog opens the file the configuration names, unless the one in use is it.
func (b *builder) auditLog() {
	c := b.config.Audit
	if c == nil {
		return
	}
	key := b.value(c.HMACKey)
	if c.Path == "" { // a configuration that is only checked
		return
	}
	b.audited = &auditFile{path: c.Path}
	b.audited.key.Store(key)
	if now := b.audit.current.Load(); now != nil && now.path == c.Path {
		return // move has it sign with this key
	}
	b.audited.Log = audit.New(audit.Options{Path: c.Path, Key: b.audited.signsWith, Log: b.log})
	b.fail("audit.path", b.audited.Open())
}

func (f *auditFile) signsWith() ([]byte, error) {
	key, err := f.key.Load().Get()
	return []byte(key.Reveal()), err
}

// move has the events from now on written to f, nil for nowhere.
func (a *auditLog) move(f *auditFile) {
	old := a.current.Load()
	if old != nil && f != nil && old.path == f.path {
		old.key.Store(f.key.Load())
		return
	}
	if f != nil && a.started.Load() {
		f.stop = f.Start()
	}
	a.current.Store(f)
	if old != nil {
		old.end()
		a.writtenBefore.Add(old.Written())
		a.droppedBefore.Add(old.Dropped())
	}
}

// end lets go of a file, once all is written.
func (f *auditFile) end() {
	switch {
	case f == nil || f.Log == nil:
	case f.stop != nil:
		f.stop()
	default:
		f.Close()
	}
}

// start begins to write; what it returns ends it when all is written.
func (a *auditLog) start() (stop func()) {
	a.started.Store(true)
	if f := a.current.Load(); f != nil {
		f.stop = f.Start()
	}
	return func() { a.current.Load().end() }
}

func (a *auditLog) add(e audit.Event) {
	if f := a.current.Load(); f != nil {
		f.Add(e)
	}
}

// err is why the log cannot be written; nil if there is none.
func (a *auditLog) err() error {
	if f := a.current.Load(); f != nil {
		return f.Err()
	}
	return nil
}

// denied records a request that was refused, or would have been.
func (a *auditLog) denied(d proxy.Denial) {
	result := "refused"
	if d.Observed {
		result = "observed"
	}
	a.add(audit.Event{
		Time: d.Time, Kind: audit.KindDeny, Decision: "deny", Result: result, RequestID: d.RequestID, IP: d.IP, Method: d.Method, Path: d.Path,
		Route: d.Route, Status: d.Status, Check: d.Check, Reason: d.Reason, Subject: d.Subject, Issuer: d.Issuer,
	})
}

// renewed records an attempt to renew a credential.
func (a *auditLog) renewed(e credentials.Event) {
	a.add(audit.Event{Kind: audit.KindCredential, Action: "renew", Name: e.Credential, Result: e.Result, Reason: e.Reason, Detail: e.Error})
}

// read records a read of the secret backend.
func (a *auditLog) read(e secrets.Event) {
	result := "success"
	if e.Result != "ok" {
		result = "failure"
	}
	reason := e.Result
	if reason == "ok" {
		reason = ""
	}
	a.add(audit.Event{Time: e.At, Kind: audit.KindSecret, Action: "read", Name: e.Path, Backend: e.Backend, Result: result, Reason: reason, Changed: e.Changed})
}

// reloaded records a reload. What was wrong stands in the gateway's own log.
func (a *auditLog) reloaded(cause string, err error) {
	e := audit.Event{Kind: audit.KindReload, Action: "reload", Result: "success", Detail: cause}
	if err != nil {
		e.Result = "failure"
	}
	a.add(e)
}

// call records a call of the admin API. One that is let through must be on the
// disk before it is answered; a refusal need not wait.
func (a *auditLog) call(ctx context.Context, c admin.Call) error {
	f := a.current.Load()
	if f == nil {
		return nil
	}
	e := audit.Event{
		Kind: audit.KindAdmin, Action: "call", Decision: "allow", RequestID: c.RequestID, IP: c.IP, Method: c.Method, Path: c.Path,
		Status: c.Refused, Reason: c.Reason,
	}
	if c.Refused == 0 {
		return f.Record(ctx, e)
	}
	e.Decision = "deny"
	f.Add(e)
	return nil
}

// weakAuditKey tells whether the audit key is there and too short.
func (g *generation) weakAuditKey() config.Errors {
	if g.config.Audit == nil {
		return nil
	}
	const where = "audit.hmac_key"
	key, err := g.read(g.config.Audit.HMACKey)
	if err != nil || audit.CheckKey([]byte(key.Reveal())) == nil {
		return nil
	}
	wrong := g.place(where, errors.New("the key has fewer than 32 bytes"))
	wrong.Advice = "store 32 random bytes or more, as from gateway generate key --type hmac"
	return config.Errors{wrong}
}

// unopened is c without its file, for a configuration that is only checked.
func unopened(c *config.Audit) *config.Audit {
	if c == nil {
		return nil
	}
	checked := *c
	checked.Path = ""
	return &checked
}

// auditHealth is how the log is; false if there is none.
func (g *generation) auditHealth() (c admin.Component, there bool) {
	f := g.audit.current.Load()
	if f == nil || g.config.Audit == nil {
		return c, false
	}
	c = admin.Component{Name: "audit", State: admin.OK, Age: -1}
	if f.Err() != nil {
		c.State, c.Detail = admin.Degraded, "the log cannot be written; the gateway's own log says why"
		if g.config.Audit.OnError == "refuse" {
			c.State = admin.Unavailable
		}
	}
	return c, true
}

func (g *generation) auditStatus() *admin.AuditStatus {
	c, there := g.auditHealth()
	if !there {
		return nil
	}
	f := g.audit.current.Load()
	return &admin.AuditStatus{Status: c.State, Detail: c.Detail, Newest: f.Newest(), Dropped: f.Dropped()}
}
