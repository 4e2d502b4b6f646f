package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/crypto"
	"github.com/sallyport/sallyport/internal/secrets"
)

// StoredKeyring is a keyring as a command finds it in the secret backend.
type StoredKeyring struct {
	Name    string
	Type    crypto.Type
	Backend secrets.Backend
	Why     string // it is this backend

	literal secrets.Secret
	ref     secrets.Reference
}

// FindKeyring finds the keyring of that name in c, and reads nothing.
func FindKeyring(ctx context.Context, c *config.Config, name string, log *slog.Logger) (*StoredKeyring, error) {
	one, ok := c.Keyrings[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(c.Keyrings)), ", ")
		if known == "" {
			return nil, fmt.Errorf("there is no keyring %q: the configuration has none", name)
		}
		return nil, fmt.Errorf("there is no keyring %q; there are: %s", name, known)
	}
	k := &StoredKeyring{Name: name, Type: crypto.Type(one.Type), ref: secrets.Reference{Path: one.Keys.Path, Field: one.Keys.Field}}
	if literal, ok := one.Keys.Literal(); ok {
		k.literal = secrets.NewSecret(literal)
		return k, nil
	}
	var err error
	k.Backend, k.Why, err = SecretBackend(ctx, c, "", nil, log)
	return k, err
}

// Open reads its document.
func (k *StoredKeyring) Open(ctx context.Context) (*crypto.Keyring, error) {
	document := k.literal
	if k.Backend != nil {
		var err error
		if document, err = secrets.Get(ctx, k.Backend, k.ref); err != nil {
			return nil, fmt.Errorf("keyring %s: %w", k.Name, err)
		}
	}
	d, err := crypto.ParseDocument(k.Type, []byte(document.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", k.Name, err)
	}
	return crypto.NewKeyring(k.Type, d, crypto.KeyringOptions{})
}

// Rotate gives it a fresh primary, and makes its document where there is none.
func (k *StoredKeyring) Rotate(ctx context.Context) (version int, err error) {
	if k.Backend == nil {
		return 0, fmt.Errorf("keyring %s: %w", k.Name, errKeyringLiteral)
	}
	version, err = RotateKeyring(ctx, k.Backend, k.Type, k.ref, time.Now())
	if err != nil {
		return 0, fmt.Errorf("keyring %s: %w", k.Name, err)
	}
	return version, nil
}
