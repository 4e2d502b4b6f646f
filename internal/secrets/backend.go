package secrets

import (
	"context"
	"fmt"
)

// Backend is where secrets come from. Read looks once at all that stands at
// path; its errors are of the kinds of this package, name the path and quote no
// secret. One of another kind counts as [ErrUnavailable]. It is called by
// several goroutines at once.
type Backend interface {
	Name() string // a word for logs and metrics
	Read(ctx context.Context, path string) (Document, error)
}

// Document is what stood at one path at one moment. It is asked for its fields
// while the context of its read goes on.
type Document interface {
	// Field returns the value itself for "", else the field of that name:
	// ErrNotFound if there is none, ErrEmpty if there is nothing in it.
	Field(name string) (Secret, error)
}

// BatchReader is a Backend that reads many paths in few calls. The results are
// in the order of paths.
type BatchReader interface {
	ReadMany(ctx context.Context, paths []string) []Result
}

// Result is how the read of one path ended.
type Result struct {
	Document Document
	Err      error
}

// Writer is a Backend that may store a secret. A backend that may not returns
// [ErrReadOnly] and says why; one that finds another's change since it looked,
// [ErrConflict].
type Writer interface {
	Set(ctx context.Context, ref Reference, value Secret) error
}

// Swapper is a Backend that stores a secret only while it is what the caller last
// saw: ErrConflict where it has become another one. An empty old stands for one
// that is not there.
type Swapper interface {
	Swap(ctx context.Context, ref Reference, old, value Secret) error
}

// expected refuses a swap whose current value is not the one that was seen.
func expected(old, current Secret) error {
	if !old.Equal(current) {
		return fmt.Errorf("%w: it is not what was seen any more", ErrConflict)
	}
	return nil
}

// Lister is a Backend that tells the names of the secrets it has, sorted and no
// more than it bounds: those that pattern fits, in which * stands for any text,
// slashes too. An empty pattern fits all.
type Lister interface {
	List(ctx context.Context, pattern string) ([]string, error)
}

// Hinter is a Backend whose names want a word on what they stand for, which goes
// with a list of them.
type Hinter interface {
	Hint(pattern string) string
}

// Runner is a Backend with work in the background, such as the renewal of its
// login. Run returns when ctx ends.
type Runner interface {
	Run(ctx context.Context) error
}

// Get reads one reference from b.
func Get(ctx context.Context, b Backend, ref Reference) (Secret, error) {
	doc, err := b.Read(ctx, ref.Path)
	if err != nil {
		return Secret{}, err
	}
	return fieldOf(doc, ref)
}

// fieldOf returns ref's field of doc, never an empty one.
func fieldOf(doc Document, ref Reference) (secret Secret, err error) {
	if doc != nil {
		secret, err = doc.Field(ref.Field)
	}
	if err == nil && secret.Empty() {
		err = fmt.Errorf("secret %s: %w", ref, ErrEmpty)
	}
	return secret, err
}
