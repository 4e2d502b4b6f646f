// Package policy answers whether an authenticated caller may do this.
//
// A [Policy] is what one route asks of its callers: scopes, all of which they
// must hold, claims, each of which must have one of the values listed, and an
// expression in CEL (https://cel.dev) that must be true of caller and request.
//
// # Security
//
// What is not said is not granted. A claim that is absent, null or an object
// matches nothing; scopes and values are compared whole, byte for byte. A claim
// name is one name, never a path into an object, so that nobody who fills in
// part of a token can build a name that means something else. An empty list of
// values, which no token could satisfy, is an error and not "anything goes".
//
// An expression is checked when it is read: a name that is not there, a result
// that is no bool, a cost without a bound are errors. What it cannot evaluate it
// denies. It is asked for every request, and no answer is kept.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/auth"
)

// Options say what a Policy asks. With none, every authenticated caller may pass.
type Options struct {
	Scopes []string            // all of these
	Claims map[string][]string // each claim has one of its values
	Allow  string              // an expression in CEL; empty: none
	Params []string            // the parameters of the route's path, which Allow may ask for
}

// A Policy is safe for use by many goroutines at once.
type Policy struct {
	scopes []string
	claims []requirement
	allow  *expression // nil: none
}

type requirement struct {
	claim  string
	values []string
}

// Denied is the error of a caller who may not pass. Its text is for the log: it
// names what was asked, and what the caller had only where an expression could
// not be evaluated because of it.
type Denied struct {
	Check         string   // "scopes", "claims", "allow", "allow_error" or "allow_cost"
	MissingScopes []string // in the order of the configuration
	Reason        string
}

func (d *Denied) Error() string { return "policy: " + d.Reason }

// New returns the policy o describes. What is wrong with Allow is of
// [ExpressionErrors].
func New(o Options) (*Policy, error) {
	p := new(Policy)
	for _, scope := range o.Scopes {
		if !isScope(scope) {
			return nil, fmt.Errorf("policy: %q is not a scope: visible ASCII without quotes, spaces or backslashes (RFC 6749, section 3.3)", scope)
		}
		if !slices.Contains(p.scopes, scope) {
			p.scopes = append(p.scopes, scope)
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(o.Claims)) {
		switch {
		case claim == "":
			return nil, errors.New("policy: a claim without a name")
		case len(o.Claims[claim]) == 0:
			return nil, fmt.Errorf("policy: claim %q has no accepted values: nobody could pass", claim)
		}
		p.claims = append(p.claims, requirement{claim, slices.Clone(o.Claims[claim])})
	}
	if o.Allow == "" {
		return p, nil
	}
	var err error
	if p.allow, err = compile(o.Allow, o.Params); err != nil {
		return nil, err
	}
	return p, nil
}

// Reads is what the policy asks for of a request.
func (p *Policy) Reads() Reads {
	if p == nil || p.allow == nil {
		return Reads{}
	}
	return p.allow.reads
}

// Asks reports whether the policy has an expression, which Allow evaluates.
func (p *Policy) Asks() bool { return p != nil && p.allow != nil }

// Allow returns nil if the expression, where there is one, is true of pr and r,
// and else a [*Denied].
func (p *Policy) Allow(pr *auth.Principal, r *Request) error {
	switch {
	case !p.Asks():
		return nil
	case pr == nil || r == nil:
		return &Denied{Check: deniedAllow, Reason: "no principal"}
	}
	return p.allow.ask(pr, r)
}

// Check returns nil if scopes and claims of pr are in order, and else a
// [*Denied]: for the scopes first, all that are missing, then for the first claim
// by name that does not fit. It depends on the policy and pr alone, and of one
// that is remembered it is found out once.
func (p *Policy) Check(pr *auth.Principal) error {
	if pr == nil {
		return &Denied{Check: "scopes", MissingScopes: slices.Clone(p.scopes), Reason: "no principal"}
	}
	found, known := pr.Verdict(p)
	if !known {
		found = p.check(pr)
		pr.Remember(p, found)
	}
	return found
}

func (p *Policy) check(pr *auth.Principal) error {
	var missing []string
	for _, scope := range p.scopes {
		if !slices.Contains(pr.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	if missing != nil {
		return &Denied{Check: "scopes", MissingScopes: missing, Reason: "missing scope " + strings.Join(missing, " ")}
	}
	for _, r := range p.claims {
		value, present := pr.Claims[r.claim]
		if !present {
			return &Denied{Check: "claims", Reason: fmt.Sprintf("claim %q is absent", r.claim)}
		}
		if !r.accepts(value) {
			return &Denied{Check: "claims", Reason: fmt.Sprintf("claim %q has none of the accepted values", r.claim)}
		}
	}
	return nil
}

// accepts reports whether a claim, or an element of it if it is an array, is one
// of the values.
func (r requirement) accepts(claim any) bool {
	if elements, ok := claim.([]any); ok {
		return slices.ContainsFunc(elements, r.acceptsScalar)
	}
	return r.acceptsScalar(claim)
}

// acceptsScalar compares a string by itself, and a number or a bool by its JSON
// text: the number 7 is "7", and neither "7.0" nor "07".
func (r requirement) acceptsScalar(claim any) bool {
	switch v := claim.(type) {
	case string:
		return slices.Contains(r.values, v)
	case json.Number:
		return slices.Contains(r.values, v.String())
	case bool:
		return slices.Contains(r.values, strconv.FormatBool(v))
	}
	return false // null, objects, arrays in arrays, and what JSON does not have
}

// isScope tells a scope-token of RFC 6749, section 3.3.
func isScope(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) < 0
}
