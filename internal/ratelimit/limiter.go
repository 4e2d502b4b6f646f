// Package ratelimit bounds how often each caller may pass.
//
// A [Limiter] keeps one token bucket (golang.org/x/time/rate) per key. All
// limiters of a gateway share one [Table], which holds a bounded number of
// buckets; the one unused for longest makes room for a new one.
//
// # Security
//
// Pushing a bucket out does not refill it. A caller with many keys could
// otherwise push out a spent bucket and start with a full one. So a bucket that
// is evicted before it is full leaves its debt behind: the time at which it would
// have been full again, in one of the limiter's fixed number of slots, chosen by
// a keyed hash of its key. A new bucket whose slot is still in debt starts with that debt. Two
// keys that share a slot make the newcomer stricter than it need be, never freer:
// it may find its burst spent, but its rate is its own from the first moment on.
//
// Memory is bounded in the keys' length too: a key is held as a keyed hash of 128
// bits. No configuration means "no limit": a count, period or burst that is
// not positive is an error.
package ratelimit

import (
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// maxInteger is the largest number a header field may state (RFC 9651, section
// 3.3.1).
const maxInteger = 999_999_999_999_999

// A Limit lets Count requests pass in Per on average, and Burst at once.
type Limit struct {
	Name  string        // the route's, shown to callers in the RateLimit headers
	Count int           // 6000 in 6000/1m
	Per   time.Duration // 1m in 6000/1m
	Burst int
}

// A Limiter applies one Limit, with a bucket for each key.
type Limiter struct {
	table  *Table
	id     bucketKey // mixed into every key
	rate   rate.Limit
	burst  int
	item   string // the quoted name, as it begins a RateLimit header
	policy string
	text   string
}

// Limiter returns a limiter whose buckets live in t. Limiters made from equal
// limits share their buckets, so that a reload which changes nothing keeps them;
// keys that mean different things (a subject, an address) must differ in text.
func (t *Table) Limiter(l Limit) (*Limiter, error) {
	if l.Count <= 0 || l.Per <= 0 || l.Burst <= 0 {
		return nil, fmt.Errorf("ratelimit: %q: %d per %s, burst %d: all must be positive", l.Name, l.Count, l.Per, l.Burst)
	}
	if int64(l.Burst) > maxInteger {
		return nil, fmt.Errorf("ratelimit: %q: burst %d: must be at most %d", l.Name, l.Burst, int64(maxInteger))
	}
	item := quote(l.Name)
	return &Limiter{
		table:  t,
		id:     bucketKey{maphash.Comparable(t.seeds[0], l), maphash.Comparable(t.seeds[1], l)},
		rate:   rate.Limit(float64(l.Count) / l.Per.Seconds()),
		burst:  l.Burst,
		item:   item,
		text:   fmt.Sprintf("%d/%s, burst %d", l.Count, span(l.Per), l.Burst),
		policy: item + ";q=" + strconv.Itoa(l.Burst) + ";w=" + strconv.FormatInt(seconds(l.Per), 10),
	}, nil
}

// Allow takes one token from the bucket of key, if there is one. It keeps no
// part of key, which may point into a buffer that is used again.
func (l *Limiter) Allow(key string) Decision {
	return l.table.take(l, key)
}

// Peek returns what Allow would, and takes nothing.
func (l *Limiter) Peek(key string) Decision {
	return l.table.peek(l, key)
}

// String tells the limit in the words of the configuration, as in "10/1m, burst
// 20".
func (l *Limiter) String() string { return l.text }

// Policy is the value of the RateLimit-Policy header
// (draft-ietf-httpapi-ratelimit-headers): burst as quota, and the rate's own
// unit as window, in whole seconds.
func (l *Limiter) Policy() string { return l.policy }

// A Decision says whether a request may pass, and how the bucket stands after it.
type Decision struct {
	Allowed    bool
	Remaining  int           // whole tokens left
	RetryAfter time.Duration // until one token is there; zero if one is
	Reset      time.Duration // until the bucket is full
}

// Header is the value of the RateLimit header: what is left, and in how many
// seconds, rounded up, the bucket is full again.
func (d Decision) Header(l *Limiter) string {
	b := make([]byte, 0, len(l.item)+32)
	b = append(b, l.item...)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, seconds(d.Reset), 10)
	return string(b)
}

// RetryAfterHeader is the value of the Retry-After header (RFC 9110, section
// 10.2.3): whole seconds, rounded up, at least 1.
func (d Decision) RetryAfterHeader() string {
	return strconv.FormatInt(max(seconds(d.RetryAfter), 1), 10)
}

// seconds rounds up, so that whoever waits as long as told is not told again.
func seconds(d time.Duration) int64 {
	whole := int64(d / time.Second)
	if d%time.Second > 0 {
		whole++
	}
	return whole
}

// span writes a period as configurations do: s, 1m, 1h.
func span(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	if text == "1s" {
		return "s"
	}
	return text
}

// quote writes name as a string of RFC 9651, section 3.3.3. Bytes such a string
// cannot hold are percent-encoded, so that no name can break out of the header.
func quote(name string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "%%%02X", c)
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
