package gateway

import (
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/proxy"
)

// Coverage tells how many cases had this result of a route's check.
type Coverage struct {
	Route  string `json:"route"`
	Check  string `json:"check"`
	Result string `json:"result"` // pass or deny
	Cases  int    `json:"cases"`
}

type coverage struct {
	list []Coverage
	at   map[Coverage]int // where in list, by what it is of
}

// newCoverage lists what there is to try: that each route is found, and each
// check that a route has, passed and refusing. Limits count nothing here, and
// credentials are stood in for, so that neither refuses.
func newCoverage(routes []config.Route) *coverage {
	c := &coverage{at: make(map[Coverage]int)}
	for _, r := range routes {
		c.expect(r.Name, "route", "pass")
		early, late := limitKinds(r)
		if early {
			c.expect(r.Name, "limit_address", "pass")
		}
		if !r.Auth.Public {
			c.expect(r.Name, "authenticate", "pass", "deny")
			if len(r.Auth.Scopes) > 0 || len(r.Auth.Claims) > 0 || r.Auth.Allow != "" {
				c.expect(r.Name, "authorise", "pass", "deny")
			}
		}
		if late {
			c.expect(r.Name, "limit_principal", "pass")
		}
		if len(r.Inject) > 0 {
			c.expect(r.Name, "inject", "pass")
		}
	}
	return c
}

// limitKinds reports whether r has limits before authentication, and after it.
func limitKinds(r config.Route) (early, late bool) {
	for _, l := range r.RateLimit {
		if l.Key == "ip" || l.Key == "route" {
			early = true
		} else {
			late = true
		}
	}
	return early, late
}

func (c *coverage) expect(route, check string, results ...string) {
	for _, result := range results {
		one := Coverage{Route: route, Check: check, Result: result}
		c.at[one] = len(c.list)
		c.list = append(c.list, one)
	}
}

// add counts what an explanation tried.
func (c *coverage) add(e proxy.Explanation) {
	for _, check := range e.Checks {
		if at, ok := c.at[Coverage{Route: e.Route, Check: check.Name, Result: check.Result}]; ok {
			c.list[at].Cases++
		}
	}
}
