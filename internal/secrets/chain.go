package secrets

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// chain is backends tried in order.
type chain []Backend

// batchChain is a chain of which some read many paths at once.
type batchChain struct{ chain }

// Chain returns a backend that asks each of list in turn. Only "not found", of
// the path or of a field, goes on to the next one: a backend that does not
// answer is an error, never a silent step down.
func Chain(list ...Backend) Backend {
	if len(list) == 1 {
		return list[0]
	}
	for _, b := range list {
		if _, ok := b.(BatchReader); ok {
			return batchChain{list}
		}
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

// Read returns what the first backend has that has something. A field that is
// not there is looked for in those behind it.
func (c chain) Read(ctx context.Context, path string) (Document, error) {
	return c.from(ctx, path, nil)
}

// from reads path after others did not have it, which ended with missing.
func (c chain) from(ctx context.Context, path string, missing error) (Document, error) {
	for i, b := range c {
		doc, err := b.Read(ctx, path)
		if Reason(err) != "not_found" {
			return c.at(ctx, i, path, doc), err
		}
		missing = both(missing, err)
	}
	if missing == nil {
		missing = ErrNotFound
	}
	return nil, missing
}

// at returns the document of the backend i, with those behind it.
func (c chain) at(ctx context.Context, i int, path string, doc Document) Document {
	if rest := c[i+1:]; doc != nil && len(rest) > 0 {
		return &linked{Document: doc, ctx: ctx, path: path, rest: rest}
	}
	return doc
}

// both is the error of two backends that do not have it.
func both(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; %w", first, second)
}

// linked is a Document whose fields may also stand further down the chain. What
// is there is read at most once, and only if a field is missing here.
type linked struct {
	Document
	ctx  context.Context // of the read, while which fields are asked for
	path string
	rest chain

	once sync.Once
	next Document
	err  error
}

// Field implements [Document].
func (l *linked) Field(name string) (Secret, error) {
	secret, err := l.Document.Field(name)
	if Reason(err) != "not_found" {
		return secret, err
	}
	l.once.Do(func() { l.next, l.err = l.rest.Read(l.ctx, l.path) })
	if l.err == nil {
		var further error
		if secret, further = fieldOf(l.next, Reference{Path: l.path, Field: name}); Reason(further) != "not_found" {
			return secret, further
		}
		return Secret{}, both(err, further)
	}
	if Reason(l.err) == "not_found" {
		return Secret{}, both(err, l.err)
	}
	return Secret{}, l.err
}

// ReadMany asks each backend for what those before it do not have.
func (c batchChain) ReadMany(ctx context.Context, paths []string) []Result {
	results := make([]Result, len(paths))
	left := make([]int, len(paths)) // places in paths
	for i := range left {
		left[i] = i
	}
	for i, b := range c.chain {
		ask := make([]string, len(left))
		for j, at := range left {
			ask[j] = paths[at]
		}
		var missing []int
		for j, got := range readMany(ctx, b, ask) {
			at := left[j]
			if Reason(got.Err) == "not_found" {
				missing = append(missing, at)
				results[at].Err = both(results[at].Err, got.Err)
				continue
			}
			results[at] = Result{c.at(ctx, i, paths[at], got.Document), got.Err}
		}
		if left = missing; len(left) == 0 {
			break
		}
	}
	return results
}

// Set stores in the first backend, which is read first: what another had would
// be hidden behind it.
func (c chain) Set(ctx context.Context, ref Reference, value Secret) error {
	if len(c) == 0 {
		return fmt.Errorf("set %s: %w: there is no backend", ref, ErrReadOnly)
	}
	first, ok := c[0].(Writer)
	if !ok {
		return fmt.Errorf("%s: set %s: %w", c[0].Name(), ref, ErrReadOnly)
	}
	return first.Set(ctx, ref, value)
}

// Swap swaps in the first backend, as Set stores there.
func (c chain) Swap(ctx context.Context, ref Reference, old, value Secret) error {
	if len(c) == 0 {
		return fmt.Errorf("swap %s: %w: there is no backend", ref, ErrReadOnly)
	}
	first, ok := c[0].(Swapper)
	if !ok {
		return fmt.Errorf("%s: swap %s: %w", c[0].Name(), ref, ErrReadOnly)
	}
	return first.Swap(ctx, ref, old, value)
}

// List returns the names that any of the backends has. One that cannot tell
// makes the whole an error.
func (c chain) List(ctx context.Context, pattern string) ([]string, error) {
	var all []string
	for _, b := range c {
		l, ok := b.(Lister)
		if !ok {
			return nil, fmt.Errorf("%s: list: %w: it cannot tell its names", b.Name(), ErrInvalid)
		}
		some, err := l.List(ctx, pattern)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return names(all)
}

// Hint joins those of the backends.
func (c chain) Hint(pattern string) string {
	var hints []string
	for _, b := range c {
		if h, ok := b.(Hinter); ok {
			hints = append(hints, h.Hint(pattern))
		}
	}
	return strings.Join(hints, "; ")
}

// Run does the work of those that have some until ctx ends, or until one fails.
func (c chain) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for _, b := range c {
		if r, ok := b.(Runner); ok {
			tasks.Go(func() error { return r.Run(ctx) })
		}
	}
	tasks.Go(func() error { <-ctx.Done(); return nil })
	return tasks.Wait()
}

// readMany reads paths from b, all at once where it can, else a few at a time.
// There is a result for each path, whatever b returns.
func readMany(ctx context.Context, b Backend, paths []string) []Result {
	results := make([]Result, len(paths))
	if many, ok := b.(BatchReader); ok {
		n := copy(results, many.ReadMany(ctx, paths))
		for i := n; i < len(paths); i++ {
			results[i].Err = fmt.Errorf("%s: read %s: %w: no answer", b.Name(), paths[i], ErrUnavailable)
		}
		return results
	}
	var reads errgroup.Group
	reads.SetLimit(atOnce)
	for i, path := range paths {
		reads.Go(func() error {
			results[i].Document, results[i].Err = b.Read(ctx, path)
			return nil
		})
	}
	_ = reads.Wait() // each error is in its result
	return results
}
