package api

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/crypto"
)

type encryptQuestion struct {
	Plaintext *string  `json:"plaintext,omitzero"`
	Encoding  encoding `json:"encoding,omitzero"`
	Context   string   `json:"context,omitzero"`
}

type sealed struct {
	Ciphertext string `json:"ciphertext"`
	Version    int    `json:"version"`
}

func (c *Crypto) encrypt(call *call) (any, error) {
	var body batch[encryptQuestion]
	if err := call.read(&body); err != nil {
		return nil, err
	}
	k, err := call.current()
	if err != nil {
		return nil, err
	}
	return answers(body, func(q encryptQuestion) (sealed, error) {
		plaintext, err := bytesOf("plaintext", q.Plaintext, q.Encoding)
		if err != nil {
			return sealed{}, err
		}
		ciphertext, version, err := k.Encrypt(plaintext, []byte(q.Context))
		return sealed{ciphertext, version}, err
	})
}

type decryptQuestion struct {
	Ciphertext *string  `json:"ciphertext,omitzero"`
	Encoding   encoding `json:"encoding,omitzero"`
	Context    string   `json:"context,omitzero"`
	MaxAge     string   `json:"max_age,omitzero"`
}

type opened struct {
	Plaintext string   `json:"plaintext"`
	Encoding  encoding `json:"encoding"`
	Version   int      `json:"version"`
}

func (c *Crypto) decrypt(call *call) (any, error) {
	var body batch[decryptQuestion]
	if err := call.readSealed(&body); err != nil {
		return nil, err
	}
	k, err := call.current()
	if err != nil {
		return nil, err
	}
	return answers(body, func(q decryptQuestion) (opened, error) {
		o, err := q.options()
		if err != nil {
			return opened{}, err
		}
		plaintext, version, err := onNewest(call, &k, func() ([]byte, int, error) { return k.Decrypt(*q.Ciphertext, o) })
		if err != nil {
			return opened{}, err
		}
		text, encoding, err := textOf(plaintext, q.Encoding)
		return opened{text, encoding, version}, err
	})
}

func (q decryptQuestion) options() (o crypto.DecryptOptions, err error) {
	switch {
	case q.Ciphertext == nil:
		return o, badBody("ciphertext is missing")
	case q.Encoding != "" && q.Encoding != utf8Text && q.Encoding != base64Text:
		return o, errEncoding()
	}
	o.Context = []byte(q.Context)
	if q.MaxAge != "" {
		if o.MaxAge, err = time.ParseDuration(q.MaxAge); err != nil || o.MaxAge <= 0 {
			return o, badBody("max_age is a duration such as 30s or 5m")
		}
	}
	return o, nil
}

// onNewest tries once more on the keyring as it is now, where no known key is a
// ciphertext's own: another replica may have rotated it.
func onNewest[T any](call *call, k **crypto.Keyring, try func() (T, int, error)) (T, int, error) {
	result, version, err := try()
	if !errors.Is(err, crypto.ErrNewer) {
		return result, version, err
	}
	if newest := call.reread(*k); newest != nil {
		*k = newest
		return try()
	}
	return result, version, err
}

// reread reads the keyring anew and returns it, nil if it is k still.
func (c *call) reread(k *crypto.Keyring) *crypto.Keyring {
	c.crypto.Keyrings[c.keyring].Reread(c.r.Context())
	if newest, err := c.current(); err == nil && newest != k {
		return newest
	}
	return nil
}

type rewrapQuestion struct {
	Ciphertext *string `json:"ciphertext,omitzero"`
	Context    string  `json:"context,omitzero"`
}

func (c *Crypto) rewrap(call *call) (any, error) {
	var body batch[rewrapQuestion]
	if err := call.readSealed(&body); err != nil {
		return nil, err
	}
	k, err := call.current()
	if err != nil {
		return nil, err
	}
	return answers(body, func(q rewrapQuestion) (sealed, error) {
		if q.Ciphertext == nil {
			return sealed{}, badBody("ciphertext is missing")
		}
		ciphertext, version, err := onNewest(call, &k, func() (string, int, error) { return k.Rewrap(*q.Ciphertext, []byte(q.Context)) })
		return sealed{ciphertext, version}, err
	})
}

// keyringStatus is a keyring without its keys.
type keyringStatus struct {
	Name     string                 `json:"name"`
	Type     crypto.Type            `json:"type"`
	Primary  int                    `json:"primary"`
	Versions []crypto.VersionStatus `json:"versions"`
}

func statusOf(name string, k *crypto.Keyring) keyringStatus {
	s := keyringStatus{Name: name, Type: k.Type(), Versions: k.Status()}
	for _, v := range s.Versions {
		if v.Primary {
			s.Primary = v.Version
		}
	}
	return s
}

func (c *Crypto) show(call *call) (any, error) {
	k, err := call.current()
	if err != nil {
		return nil, err
	}
	return statusOf(call.keyring, k), nil
}

// list leaves out the keyrings that cannot be used at the moment, but names
// them.
func (c *Crypto) list(*call) (any, error) {
	var body struct {
		Keyrings    []keyringStatus `json:"keyrings"`
		Unavailable []string        `json:"unavailable,omitzero"`
	}
	body.Keyrings = []keyringStatus{}
	for _, name := range slices.Sorted(maps.Keys(c.Keyrings)) {
		k, err := c.Keyrings[name].Current()
		if err != nil {
			body.Unavailable = append(body.Unavailable, name)
			continue
		}
		body.Keyrings = append(body.Keyrings, statusOf(name, k))
	}
	return body, nil
}

func (c *Crypto) rotate(call *call) (any, error) {
	version, err := c.Keyrings[call.keyring].Rotate(call.r.Context())
	return struct {
		Name    string `json:"name"`
		Version int    `json:"version"`
	}{call.keyring, version}, err
}

type macQuestion struct {
	Data     *string  `json:"data,omitzero"`
	Encoding encoding `json:"encoding,omitzero"`
	MAC      *string  `json:"mac,omitzero"`
}

func (c *Crypto) mac(call *call) (any, error) {
	var q macQuestion
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.MAC != nil {
		return nil, badBody("mac is what is asked for")
	}
	k, data, err := call.authenticated(q)
	if err != nil {
		return nil, err
	}
	mac, version, err := k.MAC(data)
	return struct {
		MAC     string `json:"mac"`
		Version int    `json:"version"`
	}{mac, version}, err
}

func (c *Crypto) verify(call *call) (any, error) {
	var q macQuestion
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.MAC == nil {
		return nil, badBody("mac is missing")
	}
	k, data, err := call.authenticated(q)
	if err != nil {
		return nil, err
	}
	valid, err := k.VerifyMAC(data, *q.MAC)
	if err == nil && !valid { // or it is of a key that another replica has made
		if newest := call.reread(k); newest != nil {
			valid, err = newest.VerifyMAC(data, *q.MAC)
		}
	}
	return struct {
		Valid bool `json:"valid"`
	}{valid}, err
}

func (c *call) authenticated(q macQuestion) (*crypto.Keyring, []byte, error) {
	data, err := bytesOf("data", q.Data, q.Encoding)
	if err != nil {
		return nil, nil, err
	}
	k, err := c.current()
	return k, data, err
}
