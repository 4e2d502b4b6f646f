package gateway

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/crypto"
)

// nearBound warns of a key that has encrypted half as often as it may: once in a
// key's life in this process.
func (k *Keyring) nearBound(version int) {
	k.log.Warn("the key has encrypted half as often as it may; rotate the keyring", "version", version, "encryptions", crypto.NonceWarning, "bound", crypto.NonceBound)
}

// worn says what is wrong with a keyring whose primary has encrypted so often
// that it should be rotated; empty if nothing is.
func worn(t crypto.Type, versions []crypto.VersionStatus) string {
	for _, v := range versions {
		switch {
		case t != crypto.AES256GCM || !v.Primary:
		case v.Sealed >= crypto.NonceBound:
			return "its key has encrypted as often as it may and encrypts no more: rotate it"
		case v.Sealed >= crypto.NonceWarning:
			return "its key has encrypted over half as often as it may: rotate it"
		}
	}
	return ""
}

// sealedCounts is the series of what each version of each keyring has encrypted.
// They come and go with the keyrings of the configuration, and their versions.
type sealedCounts struct{ *Gateway }

var sealedDesc = prometheus.NewDesc("gateway_keyring_encryptions_total",
	"Encryptions, or MACs, that this process has made with the key of a version.", []string{"keyring", "version"}, nil)

// Describe implements [prometheus.Collector].
func (sealedCounts) Describe(to chan<- *prometheus.Desc) { to <- sealedDesc }

// Collect implements [prometheus.Collector].
func (c sealedCounts) Collect(to chan<- prometheus.Metric) {
	current := c.current.Load()
	if current == nil {
		return
	}
	for name, k := range current.keyrings {
		ring, err := k.Current()
		if err != nil {
			continue
		}
		for _, v := range ring.Status() {
			to <- prometheus.MustNewConstMetric(sealedDesc, prometheus.CounterValue, float64(v.Sealed), name, strconv.Itoa(v.Version))
		}
	}
}
