package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/credentials"
	"github.com/sallyport/sallyport/internal/policy"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// Explanation is what would become of a request (CONTRACT 9).
type Explanation struct {
	Decision string   `json:"decision"` // allow or deny
	Status   int      `json:"status"`   // of the refusal; 200 stands for whatever the upstream would answer
	Route    string   `json:"route"`    // empty: none
	Checks   []Check  `json:"checks"`   // in their order, all of them
	Inject   []string `json:"inject"`   // credentials by name; none on deny
	Upstream []string `json:"upstream"` // where it would go, one URL a server, without the query; empty on deny
}

// Check is what one check said.
type Check struct {
	Name   string `json:"check"`
	Result string `json:"result"` // pass, deny or skip
	Reason string `json:"reason"`
}

// What a check says of a request.
const (
	pass = "pass"
	deny = "deny"
	skip = "skip"
)

// Explain answers what would become of r, by the checks that ServeHTTP asks. It
// changes nothing: no token of a rate limit is taken, nothing is fetched, counted
// or logged; only an issuer that must be asked about the caller's token is asked.
// Its reasons are for operators. No reason holds a credential, the caller's or the
// upstream's.
func (p *Proxy) Explain(r *http.Request) Explanation {
	x := p.newExchange(r)
	x.explaining, x.ctx = true, auth.Explaining(x.ctx)
	e := Explanation{Decision: "allow", Status: http.StatusOK, Checks: []Check{}, Inject: []string{}, Upstream: []string{}}
	for _, check := range p.checks {
		if e.Decision == "deny" {
			e.skip(check.name)
		} else if err := check.ask(x); err != nil {
			e.deny(check.name, err, p.denied(check.name, x, err))
		} else {
			e.Checks = append(e.Checks, p.passed(check.name, x))
		}
	}
	if x.route == nil {
		e.skip(checkInject)
		return e
	}
	e.Route = x.route.Name
	if e.Decision == "allow" && x.route.overlong(r) { // told only of a request that announces one
		e.deny(checkBody, tooLarge(), fmt.Sprintf("a body of %d bytes is announced, over max_body, %d", r.ContentLength, x.route.MaxBody))
	}
	if local, ok := x.route.full.(*localRoute); ok {
		local.explain(&e, x)
	}
	e.inject(x)
	if e.Decision == "allow" {
		e.Upstream = x.route.servers(x)
	}
	return e
}

// deny notes the refusal, which ends the request.
func (e *Explanation) deny(check string, err error, reason string) {
	e.Decision, e.Status, e.Inject = "deny", http.StatusInternalServerError, []string{}
	if r, ok := errors.AsType[*refusal](err); ok {
		e.Status = r.status
	}
	e.Checks = append(e.Checks, Check{check, deny, reason})
}

func (e *Explanation) skip(check string) {
	e.Checks = append(e.Checks, Check{check, skip, "not asked: the request was refused before"})
}

// inject tells of the route's credentials, which the RoundTripper asks for last.
func (e *Explanation) inject(x *exchange) {
	if e.Decision == "deny" {
		e.skip(checkInject)
		return
	}
	if len(x.route.Inject) == 0 {
		e.Checks = append(e.Checks, Check{checkInject, skip, "the route injects nothing"})
		return
	}
	if x.anonymous() {
		e.Checks = append(e.Checks, Check{checkInject, skip, "nobody knows who calls: nothing is injected"})
		return
	}
	var ready []string
	for _, c := range x.route.Inject {
		s := c.Status()
		if !s.Ready {
			e.deny(checkInject, &refusal{status: http.StatusServiceUnavailable}, notReady(s))
			return
		}
		e.Inject = append(e.Inject, s.Name)
		ready = append(ready, fmt.Sprintf("%s (%s) goes in %s", s.Name, s.Type, c.Placement()))
	}
	e.Checks = append(e.Checks, Check{checkInject, pass, strings.Join(ready, "; ")})
}

func notReady(s credentials.Status) string {
	if s.LastError == "" {
		return fmt.Sprintf("credential %s (%s) has not been fetched yet", s.Name, s.Type)
	}
	return fmt.Sprintf("credential %s (%s) is not to be had: %s", s.Name, s.Type, s.LastError)
}

// denied tells why a check refused, in the words of the log.
func (p *Proxy) denied(check string, x *exchange, err error) string {
	r, ok := errors.AsType[*refusal](err)
	byPolicy, isPolicy := errors.AsType[*policy.Denied](err)
	switch {
	case !ok:
		return err.Error()
	case isPolicy:
		return byPolicy.Reason
	case check == checkLimitAddress || check == checkLimitPrincipal:
		return strings.Join(buckets(check, x), "; ")
	case r.reason == labelFailures:
		return fmt.Sprintf("too many authentications failed from address %s, and this credential was not verified before", network(x.client))
	case r.cause != nil:
		return r.cause.Error()
	case r.status == http.StatusNotFound:
		return p.unserved(x)
	case r.status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("%s is not one of the methods here: %s", capped(x.method, 32), r.header[0].value)
	}
	return r.detail
}

// unserved tells why no route was found.
func (p *Proxy) unserved(x *exchange) string {
	own := p.router.forHost(x.hostname)
	switch {
	case own == nil || own == p.router.any:
		return fmt.Sprintf("no route has host %q and path %s", x.hostname, x.at.path)
	case p.router.any == nil || !p.router.any.has(x.at.path):
		return fmt.Sprintf("no route of host %q has path %s", x.hostname, x.at.path)
	}
	return fmt.Sprintf("no route of host %q has path %s; one without hosts has, which is not asked for a host with routes of its own", x.hostname, x.at.path)
}

// passed tells what a check that refused nothing has found.
func (p *Proxy) passed(check string, x *exchange) Check {
	if o := x.observed; o != nil && o.check == check {
		return Check{check, deny, p.denied(check, x, o.refusal) + "; the route only observes, and the request goes on"}
	}
	switch c := (Check{check, pass, "nothing against it"}); check {
	case checkNormalise:
		c.Reason = fmt.Sprintf("path %s, host %s, from %s", x.at.path, x.hostname, x.client)
		if x.trusted {
			c.Reason += ", as the trusted proxy " + x.peer.String() + " tells"
		}
		return c
	case checkAudit:
		c.Reason = "the audit log takes records"
		return c
	case checkRoute:
		c.Reason = fmt.Sprintf("%s: %s %s%s", x.route.Name, x.method, strings.Join(x.route.Hosts, ","), x.route.Path)
		return c
	case checkLimitAddress, checkLimitPrincipal:
		left := buckets(check, x)
		if left == nil {
			return Check{check, skip, "the route has no such limit"}
		}
		c.Reason = strings.Join(left, "; ")
		return c
	case checkAuthenticate:
		if x.route.Auth == nil {
			return Check{check, skip, "the route is public"}
		}
		c.Reason = identity(x)
		return c
	case checkAuthorise:
		if x.route.Auth == nil {
			return Check{check, skip, "the route is public"}
		}
		if x.anonymous() {
			return Check{check, skip, "nobody knows who calls"}
		}
		c.Reason = asked(x.route.Policy)
		if needed := x.needed(); len(needed) > 0 {
			c.Reason = strings.TrimPrefix(x.route.Policy.String()+"; scope ", "; ") + strings.Join(needed, ", or ")
		}
		return c
	default:
		return c
	}
}

// identity tells who calls, and by which key that is known.
func identity(x *exchange) string {
	pr := x.principal
	if pr == nil {
		return "nobody in particular"
	}
	key := "a key without an id"
	if pr.KeyID != "" {
		key = fmt.Sprintf("key %q", pr.KeyID)
	}
	text := fmt.Sprintf("subject %q of issuer %s, verified with %s", pr.Subject, pr.Issuer, key)
	if !pr.Expires.IsZero() {
		text += ", valid until " + pr.Expires.UTC().Format("2006-01-02T15:04:05Z")
	}
	return text
}

func asked(p *policy.Policy) string {
	if what := p.String(); what != "" {
		return what
	}
	return "whoever is authenticated may pass"
}

// buckets tells what is left in each bucket that x counts in for the check.
func buckets(check string, x *exchange) []string {
	var left []string
	for _, l := range x.route.Limits {
		if l.early() == (check == checkLimitAddress) {
			left = append(left, l.describe(x))
		}
	}
	return left
}

// describe tells how the bucket that x counts in would stand after it.
func (l Limit) describe(x *exchange) string {
	d := l.Limiter.Peek(l.bucket(x))
	text := fmt.Sprintf("rate %s by %s: %d left", l.Limiter, l.counted(x), d.Remaining)
	if !d.Allowed {
		text = fmt.Sprintf("rate %s by %s: none left, one in %s s", l.Limiter, l.counted(x), d.RetryAfterHeader())
	}
	return text
}

// counted tells what x is counted by: the limit's key, or the address where x
// lacks that. A header's value is not shown, which may be a credential.
func (l Limit) counted(x *exchange) string {
	kind, name, _ := strings.Cut(l.Key, ":")
	switch address := "address " + network(x.client); {
	case kind == "route":
		return "route"
	case kind == "ip":
		return address
	case l.bucket(x) == l.of("ip", "", network(x.client)):
		return fmt.Sprintf("%s, for want of a %s", address, strings.TrimSpace(kind+" "+name))
	case kind == "subject":
		return fmt.Sprintf("subject %q of %s", x.principal.Subject, x.principal.Issuer)
	}
	return kind + " " + name
}

// servers returns where x would go: one URL for each server of the route.
func (rt *route) servers(x *exchange) []string {
	f, ok := rt.full.(*fullRoute)
	if !ok {
		return []string{}
	}
	var list []string
	for _, server := range rt.Pool.Servers() {
		u := f.outboundURL(server, x.at)
		list = append(list, telemetry.WithoutQuery(u.String()))
	}
	return slices.Compact(list)
}
