package api

import (
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/auth"
	"github.com/sallyport/sallyport/internal/crypto"
)

func (c *Crypto) generateKey(call *call) (any, error) {
	var q struct {
		Type string `json:"type"`
	}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	key, err := crypto.GenerateKey(q.Type)
	if err != nil {
		return nil, badBody("%s", err)
	}
	return struct {
		Key string `json:"key"`
	}{key}, nil
}

func (c *Crypto) generateToken(call *call) (any, error) {
	q := struct {
		Bytes    int    `json:"bytes"`
		Encoding string `json:"encoding"`
		Prefix   string `json:"prefix"`
	}{Bytes: 32, Encoding: "hex"}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if len(q.Prefix) > 64 {
		return nil, badBody("prefix has more than 64 bytes")
	}
	token, err := crypto.GenerateToken(q.Bytes, q.Encoding)
	if err != nil {
		return nil, badBody("%s", err)
	}
	return struct {
		Token string `json:"token"`
	}{q.Prefix + token}, nil
}

func (c *Crypto) generateAPIKey(call *call) (any, error) {
	q := struct {
		ID      *string   `json:"id"`
		Prefix  string    `json:"prefix"`
		Scopes  []string  `json:"scopes"`
		Subject string    `json:"subject"`
		Expires time.Time `json:"expires"`
	}{Prefix: "sk_live_"}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.ID == nil {
		return nil, badBody("id is missing")
	}
	if !q.Expires.IsZero() && !q.Expires.After(c.Now()) {
		return nil, badBody("expires has passed")
	}
	key, record, err := auth.NewAPIKey(auth.NewAPIKeyOptions{ID: *q.ID, Prefix: q.Prefix, Scopes: q.Scopes, Subject: q.Subject, Expires: q.Expires})
	if err != nil {
		return nil, badBody("%s", err)
	}
	return struct {
		Key    string            `json:"key"`
		Record auth.APIKeyRecord `json:"record"`
	}{key, record}, nil
}

func (c *Crypto) hash(call *call) (any, error) {
	q := struct {
		Data      *string  `json:"data"`
		Encoding  encoding `json:"encoding"`
		Algorithm string   `json:"algorithm"`
	}{Algorithm: "sha256"}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	data, err := bytesOf("data", q.Data, q.Encoding)
	if err != nil {
		return nil, err
	}
	digest, err := crypto.Digest(q.Algorithm, data)
	if errors.Is(err, crypto.ErrDigest) {
		return nil, badBody("%s", err)
	}
	return struct {
		Digest string `json:"digest"`
	}{digest}, err
}

func (c *Crypto) compare(call *call) (any, error) {
	var q struct {
		A *string `json:"a"`
		B *string `json:"b"`
	}
	if err := call.read(&q); err != nil {
		return nil, err
	}
	if q.A == nil || q.B == nil {
		return nil, badBody("a and b are needed")
	}
	return struct {
		Equal bool `json:"equal"`
	}{crypto.Equal(*q.A, *q.B)}, nil
}
