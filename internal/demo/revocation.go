package demo

import "sync"

// A revocation is of one token: the next that is taken after ask.
type revocation struct {
	mu    sync.Mutex
	asked bool
	token string
}

func (v *revocation) ask() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = true
}

// holds reports whether the token, which is good otherwise, is revoked.
func (v *revocation) holds(token string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked {
		v.asked, v.token = false, token
	}
	return sameSecret(token, v.token)
}
