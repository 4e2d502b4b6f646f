package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// caseKeys are throw-away API keys, each for a record of the secret backend: the
// record says what the key may do, and its hash is not needed.
type caseKeys struct {
	lists map[string]*caseKeyList // by source
}

type caseKeyList struct {
	records []map[string]any
	keys    map[string]string // by id
	err     error             // why there are no records
}

// newCaseKeys reads the records of the sources that the cases name.
func newCaseKeys(ctx context.Context, c *config.Config, cases *config.Cases, o Options) *caseKeys {
	k := &caseKeys{lists: make(map[string]*caseKeyList)}
	for _, one := range cases.Cases {
		if one.APIKey == nil {
			continue
		}
		list := k.lists[one.APIKey.Source]
		if list == nil {
			list = &caseKeyList{keys: make(map[string]string)}
			list.records, list.err = readRecords(ctx, c, one.APIKey.Source, o)
			k.lists[one.APIKey.Source] = list
		}
		list.standIn(one.APIKey.ID)
	}
	return k
}

// readRecords reads a list of API keys as it is stored.
func readRecords(ctx context.Context, c *config.Config, source string, o Options) ([]map[string]any, error) {
	place := c.APIKeys[source].Keys
	text, literal := place.Literal()
	if !literal {
		backend, _, err := SecretBackend(ctx, c, "", o.LookupEnv, telemetry.Discard(o.Log))
		if err != nil {
			return nil, err
		}
		secret, err := secrets.Get(ctx, backend, secrets.Reference{Path: place.Path, Field: place.Field})
		if err != nil {
			return nil, err
		}
		text = secret.Reveal()
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var records []map[string]any
	if err := decoder.Decode(&records); err != nil || decoder.More() { // its text may quote the list
		return nil, errors.New("the list is not a JSON list of records")
	}
	return records, nil
}

// standIn gives the record of that id the hash of a fresh key.
func (l *caseKeyList) standIn(id string) {
	for _, record := range l.records {
		if record["id"] != id || l.keys[id] != "" {
			continue
		}
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
		key := "stand-in-" + hex.EncodeToString(secret[:])
		digest := sha256.Sum256([]byte(key))
		record["prefix"], record["hash"] = key[:16], "sha256:"+hex.EncodeToString(digest[:])
		l.keys[id] = key
	}
}

// records returns the lists as a secret backend would hold them.
func (k *caseKeys) records() map[string]string {
	texts := make(map[string]string)
	for source, list := range k.lists {
		if text, err := json.Marshal(list.records); err == nil && list.err == nil {
			texts[source] = string(text)
		}
	}
	return texts
}

// of returns the key that stands in for a record's.
func (k *caseKeys) of(named config.CaseAPIKey) (string, error) {
	list := k.lists[named.Source]
	if list.err != nil {
		return "", fmt.Errorf("the records of api_keys.%s cannot be read, and they say what key %s may do: %w", named.Source, named.ID, list.err)
	}
	key, ok := list.keys[named.ID]
	if !ok {
		return "", fmt.Errorf("api_keys.%s has no record of key %s", named.Source, named.ID)
	}
	return key, nil
}
