package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"time"
)

const (
	queuedLines   = 8192 // lines waiting to be written; more are dropped and counted
	flushInterval = 50 * time.Millisecond
)

// Lines writes whole lines to a writer in the background, so that a full disk
// or a blocked pipe never holds up a request.
type Lines struct {
	out     io.Writer
	queue   chan []byte
	dropped atomic.Uint64
}

// NewLines returns Lines that write to out once Run runs.
func NewLines(out io.Writer) *Lines {
	return &Lines{out: out, queue: make(chan []byte, queuedLines)}
}

// Add queues line, which must end with a newline and not be changed afterwards.
// If the queue is full the line is dropped and counted.
func (l *Lines) Add(line []byte) {
	select {
	case l.queue <- line:
	default:
		l.dropped.Add(1)
	}
}

// Dropped is the number of lines that were not written.
func (l *Lines) Dropped() uint64 { return l.dropped.Load() }

// Write queues a copy of line, so that Lines can stand behind a log.
func (l *Lines) Write(line []byte) (int, error) {
	l.Add(bytes.Clone(line))
	return len(line), nil
}

// lastWrite is how long Stop waits for a writer that is blocked.
const lastWrite = time.Second

// Start runs Run in the background. What it returns ends it and waits until all
// is written, but for a blocked writer no longer than a second.
func (l *Lines) Start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx) // always nil
	}()
	return func() {
		cancel()
		select {
		case <-done:
		case <-time.After(lastWrite):
		}
	}
}

// Run writes until ctx ends, then writes what is queued and returns. The lines of
// a failed write are lost, and counted as dropped.
func (l *Lines) Run(ctx context.Context) error {
	w := lineWriter{lines: l, buffer: bufio.NewWriterSize(l.out, 64<<10)}
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case line := <-l.queue:
			w.write(line)
		case <-tick.C:
			w.flush()
		case <-ctx.Done():
			for {
				select {
				case line := <-l.queue:
					w.write(line)
				default:
					w.flush()
					return nil
				}
			}
		}
	}
}

// lineWriter knows how many lines are in its buffer.
type lineWriter struct {
	lines  *Lines
	buffer *bufio.Writer
	held   uint64
}

// write puts line into the buffer, after a flush where it has no room: a write
// is of whole lines.
func (w *lineWriter) write(line []byte) {
	if w.buffer.Available() < len(line) {
		w.flush()
	}
	w.held++
	if _, err := w.buffer.Write(line); err != nil {
		w.lose()
	}
}

func (w *lineWriter) flush() {
	if err := w.buffer.Flush(); err != nil {
		w.lose()
	}
	w.held = 0
}

func (w *lineWriter) lose() {
	w.lines.dropped.Add(w.held)
	w.held = 0
	w.buffer.Reset(w.lines.out) // a bufio.Writer refuses everything after an error
}
