package audit

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Actions of the records about the log itself.
const (
	actionBegin   = "begin"   // the first record of a file
	actionEnd     = "end"     // the last one: the file was moved away
	actionStart   = "start"   // the gateway was started and goes on with this file
	actionKey     = "key"     // from here on another key signs
	actionDropped = "dropped" // so many events were lost before this record
	actionGap     = "gap"     // what was found at the start is not what was left; see its reason
)

// writer is the file, and where the chain stands. One goroutine uses it.
type writer struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	file   *os.File
	info   fs.FileInfo // of file
	raw    []byte      // the key that keys is derived of
	keys   *keys       // nil before the chain is taken up
	at     point       // the newest record, written or about to be
	done   point       // the newest record on the disk
	until  uint64      // the number up to which the head lets records be
	buffer []byte      // lines to be written
	told   uint64      // drops that a record tells of
}

// stuck reports whether something could not be written.
func (w *writer) stuck() bool { return w.keys == nil || w.done.seq < w.at.seq }

// regular reports whether the log is a file on a disk, and no pipe or device:
// those have no tail to read and no head.
func (w *writer) regular() bool { return w.info != nil && w.info.Mode().IsRegular() }

// openFile opens the file if it is not open.
func (w *writer) openFile() error {
	if w.file != nil {
		return nil
	}
	f, err := os.OpenFile(w.path, appending, 0o640)
	if errors.Is(err, syscall.ENXIO) {
		return nil // a pipe: ready will try again
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = lock(f)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w.file, w.info = f, info
	return nil
}

func (w *writer) close() {
	if w.file != nil {
		_ = w.file.Close()
		w.file, w.info = nil, nil
	}
}

// ready makes the file and the chain ready to go on under key.
func (w *writer) ready(key []byte) error {
	changed := w.keys == nil || subtle.ConstantTimeCompare(key, w.raw) == 0
	if !changed || w.keys != nil && len(w.buffer) > 0 { // first what the old key has signed
		return w.follow()
	}
	k, err := deriveKeys(key)
	if err != nil {
		return err
	}
	if w.keys == nil {
		if err := w.takeUp(k); err != nil {
			return err
		}
	} else {
		w.keys = k
		w.mark(Event{Action: actionKey})
	}
	w.raw = bytes.Clone(key)
	return w.follow()
}

// follow goes on in a new file where the old one was moved away.
func (w *writer) follow() error {
	if w.file != nil && w.regular() {
		moved, err := w.moved()
		if err != nil || !moved {
			return err
		}
		if len(w.buffer) == 0 {
			w.mark(Event{Action: actionEnd})
		}
		if err := w.flush(); err != nil { // what is left goes into the new file
			w.log.Warn("the audit log was moved away before all of it was written", "path", w.path, "error", err)
		}
		w.close()
	}
	if w.file != nil {
		return nil
	}
	if err := w.openFile(); err != nil {
		return err
	}
	if w.file == nil {
		return fmt.Errorf("audit: nobody reads the pipe %s", w.path)
	}
	if len(w.buffer) == 0 && w.info.Size() == 0 {
		w.mark(Event{Action: actionBegin})
	}
	return nil
}

// moved reports whether another file, or none, stands at the path.
func (w *writer) moved() (bool, error) {
	info, err := os.Stat(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("audit: %w", err)
	}
	return !os.SameFile(info, w.info), nil
}

// mark adds a record about the log itself.
func (w *writer) mark(e Event) {
	e.Kind, e.Time = KindLog, w.now()
	w.add(e)
}

// add chains a record to those that are to be written.
func (w *writer) add(e Event) {
	object, err := encode(e, w.at.seq+1, w.keys.id, w.at.digest)
	if err != nil { // texts and numbers always encode
		w.log.Error("audit record not encoded", "error", err)
		return
	}
	sealed, digest := seal(w.keys.record, object)
	w.buffer = append(w.buffer, sealed...)
	w.at = point{w.at.seq + 1, digest}
}

// flush brings what was added to the disk: the head that lets it be, the lines,
// and the head that has them. What could not be written stays for the next time.
func (w *writer) flush() error {
	if w.done.seq == w.at.seq {
		return nil
	}
	if w.until < w.at.seq {
		if err := w.writeHead(w.done, w.at.seq); err != nil {
			return err
		}
	}
	if len(w.buffer) > 0 {
		_ = w.file.SetWriteDeadline(time.Now().Add(pipeWrite)) // files have none
		n, err := w.file.Write(w.buffer)
		if err != nil {
			w.buffer = w.buffer[w.whole(n):]
			return fmt.Errorf("audit: %w", err)
		}
		w.buffer = nil
	}
	if err := w.file.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("audit: %w", err)
	}
	if err := w.writeHead(w.at, w.at.seq); err != nil {
		return err
	}
	w.done = w.at
	return nil
}

// whole cuts off the half line that a write of n bytes of the buffer, which
// failed, has left in a file, and returns how much of the buffer stands there. A
// pipe keeps it, and gets the rest later.
func (w *writer) whole(n int) int {
	lines := bytes.LastIndexByte(w.buffer[:n], '\n') + 1
	if lines == n || !w.regular() {
		return n
	}
	info, err := w.file.Stat()
	if err == nil {
		err = w.file.Truncate(info.Size() - int64(n-lines))
	}
	if err != nil {
		return n
	}
	return lines
}

// headPath is where the head of the log at path stands.
func headPath(path string) string { return path + ".head" }

// writeHead replaces the head, so that there is always a whole one. A log that
// is no file has none.
func (w *writer) writeHead(newest point, until uint64) error {
	if !w.regular() {
		return nil
	}
	text, err := encodeHead(w.keys, newest, until)
	if err != nil {
		return err
	}
	name := headPath(w.path)
	next := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(next, name)
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	w.until = until
	return nil
}
