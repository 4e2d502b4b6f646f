package auth

import "context"

type explainKey struct{}

// Explaining returns a context in which [Authenticator.Authenticate] answers as
// ever and leaves no trace: an unknown key asks for no fetch, nothing is
// remembered or counted. A token that must be introspected is, since nothing else
// could tell what becomes of it.
func Explaining(ctx context.Context) context.Context {
	return context.WithValue(ctx, explainKey{}, true)
}

// explaining reports whether an answer must leave no trace.
func explaining(ctx context.Context) bool { return ctx.Value(explainKey{}) != nil }
