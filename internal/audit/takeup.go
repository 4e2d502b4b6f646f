package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// takeUp finds where the chain stands and goes on from there under k. What the
// file ends with is held against the head; where they do not belong together a
// record says so for ever, and the numbers go on from the higher of the two, so
// that what is missing shows as a gap.
func (w *writer) takeUp(k *keys) error {
	if err := w.openFile(); err != nil {
		return err
	}
	if w.file == nil {
		return fmt.Errorf("audit: nobody reads the pipe %s", w.path)
	}
	if !w.regular() {
		w.log.Warn("the audit log is no regular file: it cannot be held against its head, and each start begins a chain", "path", w.path)
		w.keys, w.at, w.done = k, point{0, genesis}, point{0, genesis}
		w.mark(Event{Action: actionBegin})
		return nil
	}
	end, err := readEnd(w.path)
	if err != nil {
		return err
	}
	if end.torn > 0 { // by a crash; the head tells whether it had been a record
		if err := w.file.Truncate(end.size - end.torn); err != nil {
			return fmt.Errorf("audit: cut off half a line: %w", err)
		}
		w.log.Warn("the audit log ended in half a line, as after a crash: it was cut off", "path", w.path, "bytes", end.torn)
	}
	found, err := os.ReadFile(headPath(w.path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit: %w", err)
	}
	at, reason := resume(k, end.last, found, err == nil)
	w.keys, w.at, w.done, w.until = k, at, at, 0 // flush writes the head before the first record, so that a log without is never innocent
	switch {
	case reason != "":
		w.log.Error("the audit log is not as it was left; a record says so", "path", w.path, "reason", reason)
		w.mark(Event{Action: actionGap, Reason: reason, Count: uint64(end.torn)})
	case len(end.last) == 0:
		w.mark(Event{Action: actionBegin})
	default:
		w.mark(Event{Action: actionStart, Count: uint64(end.torn)})
	}
	return nil
}

// What is wrong where the end of a log and its head do not belong together.
const (
	reasonNoHead      = "head_missing"
	reasonWrongHead   = "head_changed"
	reasonOldHead     = "head_too_old"
	reasonForeignHead = "head_under_another_key"
	reasonCut         = "tail_cut"
	reasonWrongTail   = "tail_changed"
)

// resume decides where to go on: after the log's last line or after what the
// head has, and what is wrong, if anything is.
func resume(k *keys, last, found []byte, headThere bool) (at point, reason string) {
	tail, tailIs := stub{digest: genesis}, missing
	if len(last) > 0 {
		tail, tailIs = readRecord(last, k)
	}
	h, headIs := head{}, missing
	if headThere {
		h, headIs = readHead(found, k)
	}
	noted := point{h.Seq, h.Digest}
	agree := noted == tail.point()
	switch {
	case tailIs == missing && headIs == missing: // a new log
		return point{0, genesis}, ""
	case tailIs == wrong && headIs == verified:
		return noted, reasonWrongTail
	case tailIs == wrong:
		return point{h.Seq, or(h.Digest, genesis)}, reasonWrongTail
	case headIs == missing:
		return tail.point(), reasonNoHead
	case headIs == wrong:
		return tail.point(), reasonWrongHead
	case headIs == foreign && tailIs == verified && h.Seq < tail.Seq && tail.Seq <= h.Until, // a crash right after a change of keys
		headIs == foreign && agree: // the key was changed while nothing ran
		return tail.point(), ""
	case headIs == foreign:
		return later(noted, tail.point()), reasonForeignHead
	case tailIs == missing: // the file was moved away while nothing ran
		return noted, ""
	case noted.seq > tail.Seq:
		return noted, reasonCut
	case noted.seq == tail.Seq && !agree:
		return noted, reasonWrongTail
	case tailIs == foreign && !agree:
		return noted, reasonWrongTail
	case tail.Seq > h.Until:
		return tail.point(), reasonOldHead
	}
	return tail.point(), "" // where it is ahead of the head, a crash came before the head that has it
}

func later(a, b point) point {
	if a.seq > b.seq {
		return a
	}
	return b
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// ending is what a log ends with.
type ending struct {
	last []byte // the last whole line, without its end
	torn int64  // bytes of half a line behind it
	size int64
}

// readEnd reads the end of the log at path.
func readEnd(path string) (ending, error) {
	f, err := os.Open(path)
	if err != nil {
		return ending{}, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ending{}, fmt.Errorf("audit: %w", err)
	}
	e := ending{size: info.Size()}
	from := max(e.size-2*maxLine, 0)
	text := make([]byte, e.size-from)
	if _, err := f.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
		return ending{}, fmt.Errorf("audit: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n')
	e.torn = int64(len(text) - whole - 1)
	if whole < 0 {
		if from > 0 {
			return ending{}, fmt.Errorf("audit: %s is no audit log: a line is longer than %d bytes", path, maxLine)
		}
		return e, nil
	}
	text = text[:whole]
	e.last = text[bytes.LastIndexByte(text, '\n')+1:]
	return e, nil
}
