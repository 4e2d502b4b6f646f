package secrets_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func set(t *testing.T, v *secrets.Vault, ref, value string) error {
	t.Helper()
	path, field, _ := strings.Cut(ref, "#")
	return v.Set(t.Context(), secrets.Reference{Path: path, Field: field}, secrets.NewSecret(value))
}

func TestVaultSetLeavesTheOtherFieldsAsTheyAre(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	peer.Do(t, http.MethodPut, "sys/mounts/old", fields{"type": "kv"})
	for version, v := range map[int]*secrets.Vault{
		1: newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount, o.KVVersion = "old", 1 }),
		2: newVault(t, peer.Address, nil),
	} {
		for name, c := range map[string]struct {
			before fields // nil: nothing
			ref    string
			want   fields // nil: it is refused
		}{
			"new":            {nil, "", fields{"value": "new"}},
			"a new field":    {nil, "#user", fields{"user": "new"}},
			"value":          {fields{"value": "old", "user": "u"}, "", fields{"value": "new", "user": "u"}},
			"the only one":   {fields{"password": "old"}, "", fields{"password": "new"}},
			"one of them":    {fields{"value": "v", "user": "u"}, "#user", fields{"value": "v", "user": "new"}},
			"one more":       {fields{"value": "v"}, "#user", fields{"value": "v", "user": "new"}},
			"which is meant": {fields{"user": "u", "password": "p"}, "", nil},
			"beside others": {fields{"n": json.Number("9007199254740991"), "f": 1.5, "l": []any{"a", nil}, "o": fields{"x": true}}, "#value",
				fields{"n": json.Number("9007199254740991"), "f": 1.5, "l": []any{"a", nil}, "o": fields{"x": true}, "value": "new"}},
			"in the place of a number": {fields{"value": 1}, "", fields{"value": "new"}},
		} {
			t.Run(fmt.Sprintf("version %d, %s", version, name), func(t *testing.T) {
				path := fmt.Sprintf("t/%x", name)
				raw := map[int]string{1: "old/", 2: "secret/data/"}[version] + path
				if c.before != nil {
					peer.Do(t, http.MethodPut, raw, map[int]any{1: c.before, 2: fields{"data": c.before}}[version])
				}
				err := set(t, v, path+c.ref, "new")
				if c.want == nil {
					assertError(t, name, err, "PATH#FIELD", secrets.ErrInvalid)
					return
				}
				must(t, err)
				got := peer.Do(t, http.MethodGet, raw, nil)["data"]
				if version == 2 {
					got = got.(fields)["data"]
				}
				if text, want := text(t, got), text(t, c.want); text != want {
					t.Errorf("it is %s, want %s", text, want)
				}
			})
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	got, err := json.Marshal(v)
	must(t, err)
	return string(got)
}

func TestVaultSetAfterADeletionMakesANewVersion(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	v := newVault(t, peer.Address, nil)
	for _, gone := range []string{"delete", "destroy"} {
		put(t, peer, gone, fields{"value": "old", "user": "u"})
		peer.Do(t, http.MethodPut, "secret/"+gone+"/"+gone, fields{"versions": []int{1}})
		must(t, set(t, v, gone, "new"))
		if got := text(t, held(t, peer, gone)); got != `{"value":"new"}` {
			t.Errorf("after %s: %s", gone, got)
		}
	}
}

func TestVaultSetIsRefused(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	put(t, peer, "a", fields{"value": "x"})
	role := newRole(t, peer, nil)
	peer.Do(t, http.MethodPut, "sys/mounts/old", fields{"type": "kv"})
	root := newVault(t, peer.Address, nil)
	for name, c := range map[string]struct {
		v     *secrets.Vault
		ref   string
		value string
		word  string
		kind  error
	}{
		"empty":            {root, "a", "", "empty", secrets.ErrEmpty},
		"too large":        {root, "a", strings.Repeat("x", 1<<20+1), "larger than", secrets.ErrInvalid},
		"a path with dots": {root, "../old/a", "x", "dots", secrets.ErrInvalid},
		"no right":         {newVault(t, peer.Address, role.login(new(lines))), "a", "y", `capability create and update on path "secret/data/a"`, secrets.ErrDenied},
		"no mount":         {newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount = "nothing" }), "a", "x", "nothing mounted", secrets.ErrInvalid},
		"version 2 of 1":   {newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount = "old" }), "a", "x", "set kv_version: 1", secrets.ErrInvalid},
		"version 1 of 2":   {newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.KVVersion = 1 }), "a", "x", "set kv_version: 2", secrets.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			assertError(t, name, set(t, c.v, c.ref, c.value), c.word, c.kind)
			assertError(t, name, set(t, c.v, c.ref, c.value), "vault: set "+c.ref, c.kind)
		})
	}
	assertGets(t, root, "a", "x")
	peer.Stop()
	assertError(t, "down", set(t, root, "a", "y"), "connection refused", secrets.ErrUnavailable)
}

// Another writes between the look and the write.
func TestVaultSetOfWhatAnotherChangedMeanwhileIsAConflict(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]fields{"new": nil, "there": {"value": "first"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := peertest.Vault(t)
			if before != nil {
				put(t, peer, "a", before)
			}
			var once sync.Once
			front := newFront(t, peer, func(r *http.Request) {
				if r.Method == http.MethodPut {
					once.Do(func() { put(t, peer, "a", fields{"value": "second", "user": "u"}) })
				}
			})
			v := newVault(t, front.URL, nil)
			assertError(t, name, set(t, v, "a", "third"), "try again", secrets.ErrConflict)
			if got := text(t, held(t, peer, "a")); got != `{"user":"u","value":"second"}` {
				t.Errorf("it is %s", got)
			}
			must(t, set(t, v, "a", "third"))
			if got := text(t, held(t, peer, "a")); got != `{"user":"u","value":"third"}` {
				t.Errorf("it is %s", got)
			}
		})
	}
}

func TestVaultWritersLoseNoValueOfAnother(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	v := newVault(t, peer.Address, nil)
	var writers sync.WaitGroup
	var mu sync.Mutex
	conflicts := 0
	for i := range 20 {
		writers.Go(func() {
			field := fmt.Sprintf("f%d", i)
			for {
				err := set(t, v, "shared#"+field, field)
				if err == nil {
					return
				}
				if !errors.Is(err, secrets.ErrConflict) {
					t.Errorf("%v, want ErrConflict", err)
					return
				}
				mu.Lock()
				conflicts++
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	if got := held(t, peer, "shared"); len(got) != 20 || conflicts == 0 {
		t.Errorf("%d fields of 20, %d conflicts: %v", len(got), conflicts, got)
	}
}

func TestVaultListsNamesThatThePatternFits(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	peer.Do(t, http.MethodPut, "sys/mounts/old", fields{"type": "kv"})
	all := []string{"app/db/password", "app/db/user", "app/key", "application", "größe/x y", "team/app/key", "top"}
	for _, path := range all {
		put(t, peer, escaped(path), fields{"value": canary})
		peer.Do(t, http.MethodPut, "old/"+escaped(path), fields{"value": canary})
	}
	put(t, peer, "app/db", fields{"value": canary}) // a secret called as a folder
	peer.Do(t, http.MethodPut, "old/app/db", fields{"value": canary})
	all = append([]string{"app/db"}, all...)
	for version, v := range map[string]*secrets.Vault{
		"1": newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount, o.KVVersion = "old", 1 }),
		"2": newVault(t, peer.Address, nil),
	} {
		for pattern, want := range map[string][]string{
			"":              all,
			"*":             all,
			"app/*":         {"app/db", "app/db/password", "app/db/user", "app/key"},
			"app*":          {"app/db", "app/db/password", "app/db/user", "app/key", "application"},
			"*/key":         {"app/key", "team/app/key"},
			"app/d*":        {"app/db", "app/db/password", "app/db/user"},
			"app/*/user":    {"app/db/user"},
			"app/db":        {"app/db"},
			"top":           {"top"},
			"größe/*":       {"größe/x y"},
			"none":          nil,
			"none/*":        nil,
			"app/db/user/*": nil,
		} {
			t.Run("version "+version+" "+pattern, func(t *testing.T) {
				got, err := v.List(t.Context(), pattern)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%q, %v; want %q", got, err, want)
				}
			})
		}
		_, err := v.List(t.Context(), "../*")
		assertError(t, "dots", err, "dots", secrets.ErrInvalid)
	}
	for name, c := range map[string]struct {
		mount   string
		version int
		word    string
	}{
		"version 1 of a mount of 2": {"secret", 1, "set kv_version: 2"},
		"version 2 of a mount of 1": {"old", 2, "set kv_version: 1"},
		"no mount":                  {"nothing", 2, "nothing mounted at nothing/"},
	} {
		wrong := newVault(t, peer.Address, func(o *secrets.VaultOptions) { o.Mount, o.KVVersion = c.mount, c.version })
		_, err := wrong.List(t.Context(), "*")
		assertError(t, name, err, c.word, secrets.ErrInvalid)
	}
}

func TestVaultListAsksOnlyForFoldersThatCanFit(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	for _, path := range []string{"app/a/x", "app/b/x", "other/x"} {
		put(t, peer, path, fields{"value": "x"})
	}
	front := newFront(t, peer, nil)
	_, err := newVault(t, front.URL, nil).List(t.Context(), "app/a*")
	must(t, err)
	for path, want := range map[string]int{"app": 1, "app/a": 1, "app/b": 0, "other": 0, "": 0} {
		if got := front.asked(strings.TrimSuffix("secret/metadata/"+path, "/")); got != want {
			t.Errorf("folder %q was asked for %d times, want %d", path, got, want)
		}
	}
}

func TestVaultListLeavesOutWhatIsDeniedBelow(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	for _, path := range []string{"app/a", "app/private/b", "app/public/c"} {
		put(t, peer, path, fields{"value": "x"})
	}
	var out lines
	role := newRole(t, peer, nil)
	policy(t, peer, "reader", `
		path "secret/metadata/app/*" { capabilities = ["list"] }
		path "secret/metadata/app/private" { capabilities = ["deny"] }`)
	v := newVault(t, peer.Address, func(o *secrets.VaultOptions) {
		role.login(&out)(o)
		o.Log = slog.New(slog.NewTextHandler(&out, nil))
	})
	got, err := v.List(t.Context(), "app/*")
	if want := []string{"app/a", "app/public/c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got := out.counting("folder=app/private/"); got != 1 {
		t.Errorf("told %d times of the folder left out", got)
	}
	_, err = v.List(t.Context(), "*")
	assertError(t, "all", err, `capability list on path "secret/metadata"`, secrets.ErrDenied)
}

func TestVaultListIsBounded(t *testing.T) {
	t.Parallel()
	peer := peertest.Vault(t)
	for i := range 1001 {
		put(t, peer, fmt.Sprintf("many/%d/x", i), fields{"value": "x"})
	}
	v := newVault(t, peer.Address, nil)
	_, err := v.List(t.Context(), "many/*")
	assertError(t, "too many folders", err, "narrower pattern", secrets.ErrInvalid)
	got, err := v.List(t.Context(), "many/10*")
	if err != nil || len(got) != 12 { // 10, 100 to 109, 1000
		t.Errorf("%d names, %v", len(got), err)
	}
}
