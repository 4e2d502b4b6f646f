package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

var testKey = []byte("an audit key of 32 bytes or more, for tests")

// open returns a log at path that is started, and how to stop it.
func open(t *testing.T, path string, key func() ([]byte, error), out *peertest.Buffer) (*Log, func()) {
	t.Helper()
	if key == nil {
		key = func() ([]byte, error) { return testKey, nil }
	}
	o := Options{Path: path, Key: key}
	if out != nil {
		o.Log = slog.New(slog.NewTextHandler(out, nil))
	}
	l := New(o)
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	stop := l.Start()
	t.Cleanup(stop)
	return l, stop
}

// write starts a log, has it take n events, and stops it.
func write(t *testing.T, path string, n int) {
	t.Helper()
	l, stop := open(t, path, nil, nil)
	for i := range n {
		l.Add(Event{Kind: KindDeny, RequestID: fmt.Sprint(i), Decision: "deny", Route: "orders", Reason: "expired"})
	}
	stop()
}

func newLog(t *testing.T) string { return filepath.Join(t.TempDir(), "audit.jsonl") }

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func put(t *testing.T, path string, list []string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(list, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// whole fails unless the log is as it was written, with records up to last.
func whole(t *testing.T, last uint64, files ...string) Report {
	t.Helper()
	r, err := Verify([][]byte{testKey}, files...)
	if err != nil || r.Last != last {
		t.Fatalf("%+v, %v; want a whole log up to %d", r, err, last)
	}
	return r
}

// TestLogs03 has 10 000 decisions made by many at once: each is one record, in
// one chain.
func TestLogs03EveryDecisionIsOneRecord(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	l, stop := open(t, path, nil, nil)
	var all sync.WaitGroup
	for worker := range 20 {
		all.Go(func() {
			for i := range 500 {
				l.Add(Event{Kind: KindDeny, Decision: "deny", RequestID: fmt.Sprintf("%d-%d", worker, i), Subject: "ann", Route: "orders", Reason: "expired"})
			}
		})
	}
	all.Wait()
	await(t, "10,000 records in the chain", func() bool { return l.Written()+l.Dropped() == 10_000 })
	stop()
	if l.Dropped() != 0 {
		t.Errorf("%d written, %d dropped", l.Written(), l.Dropped())
	}
	whole(t, 10_001, path) // and the one that begins the file
	seen := make(map[string]bool)
	for _, text := range lines(t, path)[1:] {
		var record struct {
			Time                                               time.Time
			RequestID                                          string `json:"request_id"`
			Subject, Route, Decision, Reason, Event, Key, HMAC string
		}
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if record.Time.IsZero() || record.Time.Location() != time.UTC || record.Subject != "ann" || record.Route != "orders" || record.Decision != "deny" || record.Reason != "expired" || record.Event != "deny" {
			t.Fatalf("record %s", text)
		}
		seen[record.RequestID] = true
	}
	if len(seen) != 10_000 {
		t.Errorf("%d different decisions", len(seen))
	}
}

func TestRestartContinuesTheChain(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	write(t, path, 3)
	whole(t, 4, path)
	write(t, path, 2)
	whole(t, 7, path)
	write(t, path, 0)
	if r := whole(t, 8, path); len(r.Notes) > 0 || r.First != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRecordIsOnTheDiskWhenItReturns(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	l, _ := open(t, path, nil, nil)
	for i := range 3 {
		if err := l.Record(t.Context(), Event{Kind: KindAdmin, Path: fmt.Sprint("/", i)}); err != nil {
			t.Fatal(err)
		}
		whole(t, uint64(2+i), path)
		if l.Newest() != uint64(2+i) {
			t.Errorf("newest is %d", l.Newest())
		}
	}
}

// A crash may leave half a line, and records that the head does not have.
func TestCrashIsNoTampering(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	write(t, path, 3)
	before, err := os.ReadFile(headPath(path))
	if err != nil {
		t.Fatal(err)
	}
	// The head as it was while the last three were being written.
	k, _ := deriveKeys(testKey)
	all := lines(t, path)
	first, _ := readRecord([]byte(all[0]), k)
	text, _ := encodeHead(k, first.point(), 4)
	if err := os.WriteFile(headPath(path), text, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, path, all[:3])
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(all[3][:40])
	_ = f.Close()
	if r := whole(t, 3, path); len(r.Notes) != 2 {
		t.Errorf("notes: %q", r.Notes)
	}
	out := new(peertest.Buffer)
	l, stop := open(t, path, nil, out)
	l.Add(Event{Kind: KindDeny})
	stop()
	whole(t, 5, path)
	if !strings.Contains(out.String(), "half a line") {
		t.Errorf("log: %s", out)
	}
	if !strings.Contains(lines(t, path)[3], `"action":"start","count":40`) {
		t.Errorf("record: %s", lines(t, path)[3])
	}
	if after, _ := os.ReadFile(headPath(path)); string(after) == string(before) {
		t.Error("the head was not written anew")
	}
}

// What is tampered with while no gateway runs shows for ever after: the next
// start goes on, and a record says what it found.
func TestTamperingBeforeAStartShowsAfterIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tamper func(t *testing.T, path string)
		says   string
	}{
		"tail cut":       {func(t *testing.T, path string) { put(t, path, lines(t, path)[:3]) }, "records 4 to 6 were removed or moved"},
		"last one cut":   {func(t *testing.T, path string) { put(t, path, lines(t, path)[:5]) }, "record 6 was removed or moved"},
		"half of it cut": {func(t *testing.T, path string) { _ = os.Truncate(path, size(t, path)-30) }, "record 6 was removed or moved"},
		"last one changed": {func(t *testing.T, path string) {
			all := lines(t, path)
			all[5] = strings.Replace(all[5], "expired", "exquire", 1)
			put(t, path, all)
		}, "record 6 was changed"},
		"head removed": {func(t *testing.T, path string) { _ = os.Remove(headPath(path)) }, "record 7 tells that the log was tampered with while no gateway ran: head_missing"},
		"tail and head removed": {func(t *testing.T, path string) {
			_ = os.Remove(headPath(path))
			put(t, path, lines(t, path)[:3])
		}, "record 4 tells that the log was tampered with while no gateway ran: head_missing"},
		"head changed": {func(t *testing.T, path string) {
			text, _ := os.ReadFile(headPath(path))
			_ = os.WriteFile(headPath(path), []byte(strings.Replace(string(text), `"seq":6`, `"seq":3`, 1)), 0o600)
			put(t, path, lines(t, path)[:3])
		}, "record 4 tells that the log was tampered with while no gateway ran: head_changed"},
		"an old head put back": {func(t *testing.T, path string) {
			k, _ := deriveKeys(testKey)
			second, _ := readRecord([]byte(lines(t, path)[1]), k)
			text, _ := encodeHead(k, second.point(), 3)
			_ = os.WriteFile(headPath(path), text, 0o600)
			put(t, path, lines(t, path)[:5])
		}, "record 6 tells that the log was tampered with while no gateway ran: head_too_old"},
		"a head of another key": {func(t *testing.T, path string) {
			k, _ := deriveKeys([]byte("the attacker's own key, of 32 bytes or more"))
			text, _ := encodeHead(k, point{3, strings.Repeat("a", digestSize)}, 3)
			_ = os.WriteFile(headPath(path), text, 0o600)
			put(t, path, lines(t, path)[:3])
		}, "record 4 tells that the log was tampered with while no gateway ran: head_under_another_key"},
		"emptied, and the head removed": {func(t *testing.T, path string) {
			_ = os.Remove(headPath(path))
			put(t, path, []string{`{"seq":6}`})
		}, "the first record was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newLog(t)
			write(t, path, 5)
			c.tamper(t, path)
			write(t, path, 2)
			_, err := Verify([][]byte{testKey}, path)
			var fault *Fault
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want one that says %q", err, c.says)
			}
			write(t, path, 2) // and it stays so
			if _, again := Verify([][]byte{testKey}, path); again == nil || again.Error() != err.Error() {
				t.Errorf("after another start: %v", again)
			}
		})
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTwoGatewaysCannotWriteOneLog(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	open(t, path, nil, nil)
	if err := New(Options{Path: path}).Open(); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
	if err := New(Options{Path: filepath.Join(path, "below")}).Open(); err == nil {
		t.Error("a path below a file was opened")
	}
}

// The file may be moved away at any time, as logrotate does: the chain goes on in
// a new one.
func TestChainGoesOnInANewFile(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	l, stop := open(t, path, nil, nil)
	old := []string{path + ".1", path + ".2"}
	for i, to := range []string{old[1], old[0]} {
		for range 3 {
			if err := l.Record(t.Context(), Event{Kind: KindDeny}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(path, to); err != nil {
			t.Fatal(err)
		}
		await(t, "a new file", func() bool { _, err := os.Stat(path); return err == nil && l.Newest() > uint64(4*i+4) })
	}
	if err := l.Record(t.Context(), Event{Kind: KindDeny}); err != nil {
		t.Fatal(err)
	}
	stop()
	// begin, 3, end; begin, 3, end; begin, 1
	whole(t, 12, path, old[0], old[1])
	if r := whole(t, 5, old[1]); len(r.Notes) != 1 || r.First != 1 {
		t.Errorf("the first alone: %+v", r)
	}
	if r := whole(t, 10, old[0]); len(r.Notes) != 2 || r.First != 6 {
		t.Errorf("the second alone: %+v", r)
	}
	if r := whole(t, 12, path); len(r.Notes) != 1 || r.First != 11 {
		t.Errorf("the last alone: %+v", r)
	}
	if _, err := Verify([][]byte{testKey}, path, old[1]); err == nil || !strings.Contains(err.Error(), "records 6 to 10 were removed") {
		t.Errorf("without the second: %v", err)
	}
	put(t, old[0], lines(t, old[0])[1:])
	if _, err := Verify([][]byte{testKey}, old[0]); err == nil || !strings.Contains(err.Error(), "records 1 to 6 were removed") {
		t.Errorf("the second without its first line: %v", err)
	}
	if err := os.Remove(path); err != nil { // moved away while nothing runs
		t.Fatal(err)
	}
	write(t, path, 1)
	if r := whole(t, 14, path); r.First != 13 {
		t.Errorf("after a start: %+v", r)
	}
}

func TestAnotherKeySignsFromTheNextRecordOn(t *testing.T) {
	t.Parallel()
	path, second := newLog(t), []byte("the second audit key of 32 bytes or more")
	var current atomic.Pointer[[]byte]
	current.Store(&testKey)
	l, stop := open(t, path, func() ([]byte, error) { return *current.Load(), nil }, nil)
	record := func() {
		t.Helper()
		if err := l.Record(t.Context(), Event{Kind: KindDeny}); err != nil {
			t.Fatal(err)
		}
	}
	record()
	current.Store(&second)
	record()
	stop()
	if _, err := Verify([][]byte{testKey, second}, path); err != nil {
		t.Error(err)
	}
	for name, keys := range map[string][][]byte{"the first alone": {testKey}, "the second alone": {second}} {
		if _, err := Verify(keys, path); err == nil || !strings.Contains(err.Error(), "which was not given") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, path, 1) // the key was changed back while nothing ran
	if r, err := Verify([][]byte{testKey, second}, path); err != nil || r.Last != 6 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNoKeyMeansNoRecord(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	var key atomic.Pointer[[]byte]
	none := errors.New("there is no key")
	l, stop := open(t, path, func() ([]byte, error) {
		if k := key.Load(); k != nil {
			return *k, nil
		}
		return nil, none
	}, nil)
	l.Add(Event{Kind: KindDeny, Reason: "kept"})
	await(t, "the failure", func() bool { return errors.Is(l.Err(), none) })
	if err := l.Record(t.Context(), Event{Kind: KindAdmin}); !errors.Is(err, none) {
		t.Errorf("%v", err)
	}
	weak := []byte("weak")
	key.Store(&weak)
	await(t, "the weak key", func() bool { return errors.Is(l.Err(), ErrWeakKey) })
	if got := size(t, path); got != 0 {
		t.Errorf("%d bytes were written without a key", got)
	}
	key.Store(&testKey)
	await(t, "the key", func() bool { return l.Err() == nil })
	stop()
	whole(t, 2, path)
	if !strings.Contains(lines(t, path)[1], `"reason":"kept"`) {
		t.Error("the event that waited is not there")
	}
}

// The disk is full: nobody waits, nothing is taken for written, and Err says so.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path, out := newLog(t), new(peertest.Buffer)
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	l, stop := open(t, path, nil, out)
	await(t, "the failure", func() bool { err := l.Err(); return err != nil && !errors.Is(err, ErrPending) })
	began := time.Now()
	for range queued + 1000 {
		l.Add(Event{Kind: KindDeny})
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%d events took %v", queued+1000, took)
	}
	if err := l.Record(t.Context(), Event{Kind: KindAdmin}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a record on a full disk: %v", err)
	}
	if got := l.Dropped(); got < 900 || l.Newest() != 0 {
		t.Errorf("%d dropped, newest %d", got, l.Newest())
	}
	stop()
	if got := strings.Count(out.String(), "cannot be written"); got != 1 {
		t.Errorf("said %d times that it cannot be written:\n%s", got, out)
	}
}

// A pipe nobody reads: no event waits longer than 2 s, and what is lost is
// counted and told of in the chain once it is read again.
func TestBlockedPipe(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	makePipe(t, path)
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, stop := open(t, path, nil, nil)
	await(t, "the first record", func() bool { return l.Err() == nil })
	var longest time.Duration
	total := queued + 4000
	for i := range total {
		began := time.Now()
		l.Add(Event{Kind: KindDeny, RequestID: fmt.Sprint(i), Detail: strings.Repeat("x", 300)})
		longest = max(longest, time.Since(began))
	}
	if longest > 2*time.Second {
		t.Errorf("an event waited %v", longest)
	}
	if err := l.Err(); err == nil {
		t.Error("the log does not say that it is blocked")
	}
	began := time.Now()
	if err := l.Record(t.Context(), Event{Kind: KindAdmin}); err == nil || time.Since(began) > 2500*time.Millisecond {
		t.Errorf("a record on a blocked pipe: %v after %v", err, time.Since(began))
	}
	lost := l.Dropped()
	if lost == 0 {
		t.Fatal("nothing was dropped")
	}
	read := make(chan []string, 1)
	go func() { read <- readChain(t, reader, "stop") }()
	await(t, "the end of the blockage", func() bool { return l.Err() == nil })
	l.Add(Event{Kind: KindDeny, RequestID: "stop"})
	got := <-read
	stop()
	_ = reader.Close()
	denies, told := 0, uint64(0)
	for _, text := range got {
		var r struct {
			Event, Action string
			Count         uint64
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if r.Event == KindDeny {
			denies++
		} else if r.Action == actionDropped {
			told += r.Count
		}
	}
	if uint64(total+1-denies) != told || told != l.Dropped() {
		t.Errorf("%d of %d events came, %d were dropped, %d were told of", denies, total+1, l.Dropped(), told)
	}
	t.Logf("%d events, %d dropped, none waited longer than %v", total, lost, longest.Round(time.Millisecond))
}

func TestStopWaitsForNoPipe(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	makePipe(t, path)
	l, stop := open(t, path, nil, nil) // nobody reads it, nor ever has
	await(t, "the failure", func() bool { err := l.Err(); return err != nil && strings.Contains(err.Error(), "nobody reads") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { stop(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Error("stop waits")
	}
}
