package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hashicorp/vault/api"
)

// vaultHeld is what a look at one path found.
type vaultHeld struct {
	fields  map[string]any
	version int64 // KV version 2: the newest, also if that one is deleted; zero: there was never one
}

// look reads what stands at path. Its errors do not name it.
func (v *Vault) look(ctx context.Context, path string) (vaultHeld, error) {
	if !goodVaultPath(path) {
		return vaultHeld{}, fmt.Errorf("%w: the path has an empty segment, one of dots, or a character that cannot be printed", ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	var held vaultHeld
	err := v.with(ctx, "read", v.at("data", path), func(c *api.Client) (err error) {
		held, err = v.lookOnce(ctx, c, path)
		return err
	})
	return held, err
}

func (v *Vault) lookOnce(ctx context.Context, c *api.Client, path string) (vaultHeld, error) {
	secret, there, err := v.fetch(ctx, c, v.at("data", path), nil)
	if err != nil {
		return vaultHeld{}, err
	}
	held, deletion := v.heldIn(secret)
	switch {
	case there && held.fields == nil:
		return held, fmt.Errorf("%w: the answer is no secret of KV version %d: check mount and kv_version", ErrInvalid, v.version)
	case there:
		return held, nil
	case deletion != "":
		return held, fmt.Errorf("%w: version %d, the newest, was %s", ErrNotFound, held.version, deletion)
	}
	return held, v.missing(ctx, c)
}

// fetch returns what the API answers for path, never nil, and whether something
// is there: of what was deleted, Vault answers with 404 and what is left. Also
// 404 is what it answers of paths that are no secrets' at all.
func (v *Vault) fetch(ctx context.Context, c *api.Client, path string, query url.Values) (secret *api.Secret, there bool, err error) {
	answer, err := c.Logical().ReadRawWithDataWithContext(ctx, path, query)
	if answer == nil || err != nil && answer.StatusCode != http.StatusNotFound {
		return nil, false, err
	}
	defer answer.Body.Close()
	secret, parseErr := api.ParseSecret(answer.Body)
	if parseErr != nil {
		return nil, false, parseErr
	}
	if secret == nil {
		secret = new(api.Secret)
	}
	var response *api.ResponseError
	switch {
	case err == nil:
		return secret, true, nil
	case errors.As(err, &response) && len(response.Errors) > 0:
		return nil, false, fmt.Errorf("%w: Vault has nothing mounted at %s/ (404): check mount and namespace", ErrInvalid, v.mount)
	case len(secret.Warnings) > 0:
		return nil, false, fmt.Errorf("%w: %s/ is not of KV version %d: set kv_version: %d", ErrInvalid, v.mount, v.version, 3-v.version)
	}
	return secret, false, nil
}

// heldIn returns what secret holds and, where that is nothing because the
// version is gone, in which way.
func (v *Vault) heldIn(secret *api.Secret) (held vaultHeld, deletion string) {
	if v.version == 1 {
		return vaultHeld{fields: secret.Data}, ""
	}
	held.fields, _ = secret.Data["data"].(map[string]any)
	metadata, _ := secret.Data["metadata"].(map[string]any)
	if number, ok := metadata["version"].(json.Number); ok {
		held.version, _ = number.Int64() // zero where it is no number, and zero writes over nothing
	}
	destroyed, _ := metadata["destroyed"].(bool)
	switch {
	case destroyed:
		return held, "destroyed"
	case metadata != nil:
		return held, "deleted (vault kv undelete brings it back)"
	}
	return held, ""
}

// missing is the error where nothing stands at a path. Before it is first said,
// it is made sure, where the token may know, that the mount is of version 2:
// all paths of one of version 1 seem empty, and empty goes on to the next
// backend of a chain.
func (v *Vault) missing(ctx context.Context, c *api.Client) error {
	if v.version == 1 || v.known.Load() {
		return ErrNotFound
	}
	mount, err := c.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+v.mount)
	if err != nil || mount == nil || mount.Data["type"] != "kv" {
		return ErrNotFound
	}
	options, _ := mount.Data["options"].(map[string]any)
	if options["version"] != "2" {
		return fmt.Errorf("%w: %s/ is of KV version 1: set kv_version: 1", ErrInvalid, v.mount)
	}
	v.known.Store(true)
	return ErrNotFound
}
