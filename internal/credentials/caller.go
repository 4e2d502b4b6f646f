package credentials

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/secrets"
)

// A Caller is who a request comes from, for the credentials that depend on that.
type Caller struct {
	Token   secrets.Secret // as it was sent; empty: the caller has none
	Expires time.Time      // the token's; zero: not known
}

type callerKey struct{}

// WithCaller returns a context that tells [Credential.Value] and
// [Rotating.Refresh] who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns who asks; the zero Caller if nobody said so.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// NeedsCaller reports whether the value of c depends on who calls.
func NeedsCaller(c Credential) bool {
	_, needs := c.(*TokenExchange)
	return needs
}
