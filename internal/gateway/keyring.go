package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/api"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/secrets"
)

// Keyring is a keyring that follows its document in the secret backend.
type Keyring struct {
	name    string
	kind    crypto.Type
	ref     secrets.Reference
	store   *secrets.Store  // nil for a literal, which never changes
	backend secrets.Backend // nil too
	live    *secrets.Derived[*crypto.Keyring]
	now     func() time.Time
	log     *slog.Logger

	mu     sync.Mutex
	reread time.Time // when a newer version was last looked for
}

// rereadPause is how long after one look for a newer version there is no other,
// whoever asks; rereadWait is how long a request waits for it.
const (
	rereadPause = 5 * time.Second
	rereadWait  = 3 * time.Second
)

var errKeyringLiteral = errors.New("its keys stand in the configuration, where nothing can be written")

// keyring makes the live keyring of c. What its keys did is counted in usage.
func (b *builder) keyring(name string, c config.Keyring) (*Keyring, error) {
	return keep(b, "keyring", name, recipe{c, b.usage}, func() (*Keyring, error) {
		k := &Keyring{name: name, kind: crypto.Type(c.Type), now: b.options.Now, log: b.log.With("keyring", name)}
		if k.now == nil {
			k.now = time.Now
		}
		if _, literal := c.Keys.Literal(); !literal {
			k.ref, k.store, k.backend = secrets.Reference{Path: c.Keys.Path, Field: c.Keys.Field}, b.store.Store, b.store.from
		}
		k.live = secrets.Derive(b.value(c.Keys), func(document secrets.Secret) (*crypto.Keyring, error) {
			d, err := crypto.ParseDocument(k.kind, []byte(document.Reveal()))
			if err != nil {
				return nil, err
			}
			return crypto.NewKeyring(k.kind, d, crypto.KeyringOptions{Usage: b.usage, Now: k.now, Near: k.nearBound})
		})
		return k, nil
	})
}

// badKeyrings lists the keyrings whose documents are there and are none.
func (g *generation) badKeyrings() config.Errors {
	var bad config.Errors
	for _, name := range slices.Sorted(maps.Keys(g.keyrings)) {
		c := g.config.Keyrings[name]
		document, err := g.read(c.Keys)
		if err != nil {
			continue // told as missing
		}
		if _, err := crypto.ParseDocument(crypto.Type(c.Type), []byte(document.Reveal())); err != nil {
			wrong := g.place("keyrings."+name+".keys", err)
			wrong.Advice = "store a key as gateway generate key --type " + c.Type + " prints it, or a document as gateway keyring rotate writes it"
			bad = append(bad, wrong)
		}
	}
	return bad
}

// Current implements [api.Keyring].
func (k *Keyring) Current() (*crypto.Keyring, error) { return k.live.Get() }

// Reread implements [api.Keyring].
func (k *Keyring) Reread(ctx context.Context) {
	if k.store == nil {
		return
	}
	k.mu.Lock()
	now := k.now()
	early := now.Sub(k.reread) < rereadPause
	if !early {
		k.reread = now
	}
	k.mu.Unlock()
	if early {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rereadWait)
	defer cancel()
	if err := k.store.Reread(ctx, k.ref); err != nil {
		k.log.Warn("a newer version was asked for, and the keyring cannot be read anew", "error", err)
	}
}

// Rotate implements [api.Keyring]: it reads the document, adds a fresh primary,
// and writes it back if nobody has changed it meanwhile.
func (k *Keyring) Rotate(ctx context.Context) (version int, err error) {
	if k.store == nil {
		return 0, fmt.Errorf("keyring %s: %w: %w", k.name, api.ErrReadOnly, errKeyringLiteral)
	}
	version, err = RotateKeyring(ctx, k.backend, k.kind, k.ref, k.now())
	if err != nil {
		err = fmt.Errorf("keyring %s: %w", k.name, err)
		k.log.Error("keyring not rotated", "error", err)
		return 0, err
	}
	k.log.Info("keyring rotated", "version", version)
	if err := k.store.Reread(ctx, k.ref); err != nil {
		k.log.Warn("keyring rotated, but it cannot be read anew yet", "error", err)
	}
	return version, nil
}

// RotateKeyring gives the keyring document at ref a fresh primary, and makes one
// where there is none. It returns the new version, an api.ErrReadOnly or an
// api.ErrConflict.
func RotateKeyring(ctx context.Context, b secrets.Backend, kind crypto.Type, ref secrets.Reference, now time.Time) (version int, err error) {
	writer, ok := b.(secrets.Swapper)
	if !ok {
		return 0, fmt.Errorf("%w: %s", api.ErrReadOnly, b.Name())
	}
	next := crypto.NewDocument(now)
	old, err := secrets.Get(ctx, b, ref)
	switch {
	case errors.Is(err, secrets.ErrNotFound):
	case err != nil:
		return 0, err
	default:
		document, err := crypto.ParseDocument(kind, []byte(old.Reveal()))
		if err != nil {
			return 0, err
		}
		if next, err = document.Rotate(kind, now); err != nil {
			return 0, err
		}
	}
	text, err := next.Encode(kind)
	if err != nil {
		return 0, err
	}
	err = writer.Swap(ctx, ref, old, secrets.NewSecret(string(text)))
	switch {
	case errors.Is(err, secrets.ErrReadOnly):
		return 0, fmt.Errorf("%w: %w", api.ErrReadOnly, err)
	case errors.Is(err, secrets.ErrConflict):
		return 0, fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	return next.Primary, err
}
