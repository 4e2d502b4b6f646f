package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// maxVaultFolders bounds the folders that one list asks for.
const maxVaultFolders = 1_000

// Set writes one field of the secret at ref, and leaves the others: field value,
// or the only one, where ref names none. With KV version 2 the write holds only
// if nobody else wrote since the look at the others, else it is [ErrConflict];
// version 1 cannot tell.
func (v *Vault) Set(ctx context.Context, ref Reference, value Secret) error {
	if err := v.set(ctx, ref, value, nil); err != nil {
		return fmt.Errorf("vault: set %s: %w", ref, err)
	}
	return nil
}

// Swap implements [Swapper], by KV version 2's check-and-set. Version 1 cannot
// tell whether another writes between the look and the write.
func (v *Vault) Swap(ctx context.Context, ref Reference, old, value Secret) error {
	if err := v.set(ctx, ref, value, &old); err != nil {
		return fmt.Errorf("vault: swap %s: %w", ref, err)
	}
	return nil
}

func (v *Vault) set(ctx context.Context, ref Reference, value Secret, old *Secret) error {
	switch {
	case value.Empty():
		return ErrEmpty
	case len(value.Reveal()) > maxVaultAnswer:
		return fmt.Errorf("%w: it is larger than %d bytes", ErrInvalid, maxVaultAnswer)
	}
	held, err := v.look(ctx, ref.Path)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	field := ref.Field
	if field == "" {
		field = vaultDefault(held.fields)
		if _, ok := held.fields[field]; !ok && len(held.fields) > 0 {
			return fmt.Errorf("%w: none of its %d fields is called value: name one, as in PATH#FIELD", ErrInvalid, len(held.fields))
		}
	}
	if old != nil {
		current, _ := held.fields[field].(string)
		if err := expected(*old, NewSecret(current)); err != nil {
			return err
		}
	}
	fields := maps.Clone(held.fields)
	if fields == nil {
		fields = make(map[string]any)
	}
	fields[field] = value.Reveal()
	body := fields
	if v.version == 2 {
		body = map[string]any{"data": fields, "options": map[string]any{"cas": held.version}}
	}
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	path := v.at("data", ref.Path)
	err = v.with(ctx, "create and update", path, func(c *api.Client) error {
		_, err := c.Logical().WriteWithContext(ctx, path, body)
		return written(err)
	})
	if isOutage(err) {
		return fmt.Errorf("%w; it may be written or not", err)
	}
	return err
}

// written gives the answer to a write its kind where another had written.
func written(err error) error {
	var response *api.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusBadRequest &&
		slices.ContainsFunc(response.Errors, func(text string) bool { return strings.Contains(text, "check-and-set") }) {
		return fmt.Errorf("%w: look at it and try again", ErrConflict)
	}
	return err
}

// List returns the paths that pattern fits, sorted. A folder below that the
// token may not list is left out, and told of in the log.
func (v *Vault) List(ctx context.Context, pattern string) ([]string, error) {
	found, err := v.list(ctx, cmp.Or(pattern, "*"))
	if err == nil {
		found, err = names(found)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: list: %w", err)
	}
	return found, nil
}

func (v *Vault) list(ctx context.Context, pattern string) ([]string, error) {
	literal, _, open := strings.Cut(pattern, "*")
	first := literal[:strings.LastIndex(literal, "/")+1]
	if first != "" && !goodVaultPath(strings.TrimSuffix(first, "/")) {
		return nil, fmt.Errorf("%w: the pattern has an empty segment, or one of dots", ErrInvalid)
	}
	var found []string
	folders := []string{first}
	for asked := 0; len(folders) > 0; asked++ {
		if asked+len(folders) > maxVaultFolders {
			return nil, fmt.Errorf("%w: more than %d folders to look in; give a narrower pattern", ErrInvalid, maxVaultFolders)
		}
		folder := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		keys, err := v.keys(ctx, folder)
		if errors.Is(err, ErrDenied) && asked > 0 {
			v.log.Warn("folder left out of a list: Vault denies it", "folder", folder)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			switch path := folder + key; {
			case !goodVaultPath(strings.TrimSuffix(path, "/")): // no reference could name it
			case strings.HasSuffix(path, "/") && open && (strings.HasPrefix(path, literal) || strings.HasPrefix(literal, path)):
				folders = append(folders, path)
			case !strings.HasSuffix(path, "/") && fits(pattern, path):
				found = append(found, path)
			}
		}
		if len(found) > maxNames {
			return nil, errTooManyNames()
		}
	}
	return found, nil
}

// keys lists one folder: the names in it, those of folders with a slash.
func (v *Vault) keys(ctx context.Context, folder string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	path := strings.TrimSuffix(v.at("metadata", folder), "/") // as policies name it, and as the library sends it
	var keys []string
	err := v.with(ctx, "list", path, func(c *api.Client) error {
		keys = nil
		secret, there, err := v.fetch(ctx, c, path, url.Values{"list": {"true"}})
		if err == nil && !there {
			err = v.missing(ctx, c)
		}
		if err != nil {
			return err
		}
		list, _ := secret.Data["keys"].([]any)
		for _, key := range list {
			if name, ok := key.(string); ok {
				keys = append(keys, name)
			}
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return keys, err
}
