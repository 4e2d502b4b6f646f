package gateway

import (
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"time"
)

// lookEvery is how often the files are looked at. A change is taken in when two
// looks in a row see the same, so that no half-written file is.
const lookEvery = 500 * time.Millisecond

// sum tells one content of a file from another; it is zero of what cannot be
// read.
type sum [sha256.Size]byte

// maxWatched bounds what is read of a file to tell it from another, in bytes.
const maxWatched = 8 << 20

// sumOf reads a regular file, through whatever symbolic links lead to it.
func sumOf(name string) (s sum) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return sum{} // a pipe would not end, and can be read once
	}
	f, err := os.Open(name)
	if err != nil {
		return sum{}
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(f, maxWatched)); err != nil {
		return sum{}
	}
	hash.Sum(s[:0])
	return s
}

// contents is what files were at one moment, by name.
type contents map[string]sum

func look(names []string) contents {
	c := make(contents, len(names))
	for _, name := range names {
		c[name] = sumOf(name)
	}
	return c
}

// again is how the same files are now.
func (c contents) again() contents {
	now := make(contents, len(c))
	for name := range c {
		now[name] = sumOf(name)
	}
	return now
}

// follow reloads on each signal, and when a file has changed, until ctx ends:
// the configuration, or a file it names that is not read again by itself.
//
// It reads the files and compares, since the ways to be told of a change fail
// where configurations live: an editor puts another file in the place of the
// watched one, Kubernetes swaps a symbolic link two folders up, a network file
// system tells nothing at all. A small file costs some microseconds a look.
func (g *Gateway) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := *g.state.read.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.options.Hangup:
			_ = g.reload(ctx, "signal") // which tells of its errors
		case <-tick.C:
			read := *g.state.read.Load()
			now := read.again()
			if !maps.Equal(now, read) && maps.Equal(now, last) {
				_ = g.reload(ctx, "file")
			}
			last = now
		}
	}
}
