// Package audit keeps what was decided in a log that shows when it is tampered
// with.
//
// A [Log] is a file of JSON lines. Each carries its number, the digest of the
// line before and the HMAC of itself; the newest number and digest stand in
// PATH.head under an HMAC of another key, so that a cut tail shows. [Verify]
// names the first record that was changed, removed or moved.
//
// # Security
//
// Both keys are derived of the audit key (HKDF, RFC 5869, with labels), which
// has at least 32 bytes. Who has it can write any history; who has write access
// to the folder alone can change nothing unseen but take the whole log with its
// head away.
//
// A line is printable ASCII whatever a caller sends, its fields are bounded, and
// no field holds a secret, a token or a query.
//
// Events wait in a bounded queue while the file takes them. Nobody waits longer
// than 2 s on it: then the event is dropped and counted, in a record of its own
// once there is room again. Whether what is asked for may go on without a record
// is up to those who ask: see [Log.Err] and [Log.Record].
package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queued    = 8192            // events waiting; more are dropped and counted
	batched   = 512             // events written at once, and synced once
	enqueue   = time.Second     // how long Add waits for room in the queue
	answered  = 2 * time.Second // how long Record waits for the disk
	hung      = 2 * time.Second // a write that takes longer has failed, for those who ask
	pipeWrite = time.Second     // how long a pipe may take no byte
	retry     = time.Second     // between two tries after a failure, and two looks at the file
	lastWords = 2 * time.Second // how long Stop waits
)

// What a Log fails with.
var (
	ErrInUse   = errors.New("audit: another gateway writes this log")
	ErrPending = errors.New("audit: the log is not open yet")
	ErrHung    = errors.New("audit: the log takes no more: its disk or reader hangs")
	ErrDropped = errors.New("audit: the event was dropped")
)

// Options say where a Log is and what it is signed with.
type Options struct {
	Path string
	Key  func() ([]byte, error) // the audit key, now; at least 32 bytes
	Log  *slog.Logger           // nil means none
	Now  func() time.Time       // nil means time.Now
}

// Log takes events from any number of goroutines and writes them from one.
type Log struct {
	o       Options
	queue   chan *entry
	newest  atomic.Uint64
	written atomic.Uint64
	dropped atomic.Uint64
	began   atomic.Int64 // when the write under way began, in ns since 1970; 0: there is none
	failure atomic.Pointer[error]
	writer  *writer  // of the goroutine that writes,
	backlog []*entry // as is this: what came when the writer was not ready
}

// entry is an event on its way to the file.
type entry struct {
	event Event
	done  chan error // nil: nobody waits; else with room for one
}

// New returns a Log that writes once Start runs. It opens nothing.
func New(o Options) *Log {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{o: o, queue: make(chan *entry, queued), writer: &writer{path: o.Path, log: o.Log, now: o.Now}}
	l.failure.Store(&ErrPending)
	return l
}

// Open opens the file, so that one that can never be written ends the start. A
// pipe without a reader is no error: one may come.
func (l *Log) Open() error { return l.writer.openFile() }

// Close lets go of the file of a Log that was never started.
func (l *Log) Close() { l.writer.close() }

// Err is why records are not written at the moment, or nil. It never waits.
func (l *Log) Err() error {
	if began := l.began.Load(); began != 0 && l.o.Now().Sub(time.Unix(0, began)) > hung {
		return ErrHung
	}
	return *l.failure.Load()
}

// Newest is the number of the newest record in the file.
func (l *Log) Newest() uint64 { return l.newest.Load() }

// Written counts the events taken into the chain since the start.
func (l *Log) Written() uint64 { return l.written.Load() }

// Dropped counts the events that were lost since the start.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Add has e recorded. It waits for room in the queue, a second at most and not
// at all while the log fails; then e is dropped and counted.
func (l *Log) Add(e Event) { _ = l.add(&entry{event: l.dated(e)}) }

func (l *Log) dated(e Event) Event {
	if e.Time.IsZero() {
		e.Time = l.o.Now()
	}
	return e
}

func (l *Log) add(e *entry) error {
	select {
	case l.queue <- e:
		return nil
	default:
	}
	if err := l.Err(); err == nil || errors.Is(err, ErrPending) {
		full := time.NewTimer(enqueue)
		defer full.Stop()
		select {
		case l.queue <- e:
			return nil
		case <-full.C:
		}
	}
	l.dropped.Add(1)
	return ErrDropped
}

// Record has e recorded and returns once it is on the disk, or why that is not
// so within 2 s: then what e tells of must not be done. It may still come to be
// recorded.
func (l *Log) Record(ctx context.Context, e Event) error {
	if err := l.Err(); err != nil && !errors.Is(err, ErrPending) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answered, ErrHung)
	defer cancel()
	waiting := &entry{event: l.dated(e), done: make(chan error, 1)}
	if err := l.add(waiting); err != nil {
		return err
	}
	select {
	case err := <-waiting.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Start writes in the background. What it returns ends that once all is written,
// but waits no longer than 2 s for a disk that hangs.
func (l *Log) Start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	return sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(lastWords):
			l.o.Log.Error("audit log not written to its end: its disk or reader hangs", "path", l.o.Path)
		}
	})
}

// run writes what comes until ctx ends, then what is there.
func (l *Log) run(ctx context.Context) {
	defer l.writer.close()
	l.write(nil) // opens
	tick := time.NewTicker(retry)
	defer tick.Stop()
	for {
		incoming := l.queue
		if l.stuck() {
			incoming = nil // first what could not be written
		}
		select {
		case e := <-incoming:
			l.write(l.batch(e))
		case <-tick.C:
			l.write(nil)
		case <-ctx.Done():
			l.finish()
			return
		}
	}
}

// finish writes what is left, if it can be written.
func (l *Log) finish() {
	l.write(nil)
	for !l.stuck() {
		select {
		case e := <-l.queue:
			l.write(l.batch(e))
		default:
			return
		}
	}
	l.o.Log.Error("audit log not written to its end", "path", l.o.Path, "lost", len(l.backlog)+len(l.queue), "error", l.Err())
}

// stuck reports whether something could not be written.
func (l *Log) stuck() bool { return len(l.backlog) > 0 || l.writer.stuck() }

// batch gathers what waits behind e.
func (l *Log) batch(e *entry) []*entry {
	list := []*entry{e}
	for len(list) < batched {
		select {
		case e := <-l.queue:
			list = append(list, e)
		default:
			return list
		}
	}
	return list
}

// write hands list to the writer, and tells those who wait and the log how it
// went.
func (l *Log) write(list []*entry) {
	l.began.Store(l.o.Now().UnixNano())
	err := l.attempt(list)
	l.began.Store(0)
	if err == nil {
		l.newest.Store(l.writer.at.seq)
	}
	l.tell(err)
	for _, e := range list {
		if e.done != nil {
			e.done <- err
		}
	}
}

func (l *Log) attempt(list []*entry) error {
	key, err := l.o.Key()
	if err == nil {
		err = l.writer.ready(key)
	}
	if err != nil {
		for _, e := range list {
			if e.done == nil { // those who wait are told no
				l.backlog = append(l.backlog, e)
			}
		}
		return err
	}
	if lost := l.dropped.Load(); lost > l.writer.told {
		l.writer.mark(Event{Action: actionDropped, Count: lost - l.writer.told})
		l.writer.told = lost
	}
	for _, e := range slices.Concat(l.backlog, list) {
		l.writer.add(e.event)
		l.written.Add(1)
	}
	l.backlog = nil
	return l.writer.flush()
}

// tell logs a change of fortune, once.
func (l *Log) tell(err error) {
	before := *l.failure.Load()
	l.failure.Store(&err)
	switch {
	case err == nil && before != nil && !errors.Is(before, ErrPending):
		l.o.Log.Info("audit log is written again", "path", l.o.Path, "dropped", l.dropped.Load())
	case err != nil && (before == nil || before.Error() != err.Error()):
		l.o.Log.Error("audit log cannot be written: events wait, and are dropped once too many do", "path", l.o.Path, "error", err)
	}
}
