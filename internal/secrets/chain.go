package secrets

import (
	"context"
	"strings"
)

// chain is backends tried in order.
type chain []Backend

// Chain returns a backend that asks each of list in turn. Only "not found" goes
// on to the next one: a backend that does not answer is an error, never a silent
// step down.
func Chain(list ...Backend) Backend {
	if len(list) == 1 {
		return list[0]
	}
	return chain(list)
}

// Name joins the names of the backends with commas.
func (c chain) Name() string {
	names := make([]string, len(c))
	for i, b := range c {
		names[i] = b.Name()
	}
	return strings.Join(names, ",")
}

// Get returns the first value found.
func (c chain) Get(ctx context.Context, ref Reference) (Secret, error) {
	err := ErrNotFound
	for _, b := range c {
		var secret Secret
		if secret, err = b.Get(ctx, ref); Reason(err) != "not_found" {
			return secret, err
		}
	}
	return Secret{}, err
}
