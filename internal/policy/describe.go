package policy

import "strings"

// String tells what p asks and is met, as in "scopes orders:read,
// tenant=acme|globex, allow says yes"; empty where it asks nothing.
func (p *Policy) String() string {
	if p == nil {
		return ""
	}
	var parts []string
	if len(p.scopes) > 0 {
		parts = append(parts, "scopes "+strings.Join(p.scopes, " "))
	}
	for _, r := range p.claims {
		parts = append(parts, r.claim+"="+strings.Join(r.values, "|"))
	}
	if p.allow != nil {
		parts = append(parts, "allow says yes")
	}
	return strings.Join(parts, ", ")
}
