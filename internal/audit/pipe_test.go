//go:build unix

package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func makePipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// readChain reads lines up to the one of the request id last, and fails unless
// they are one chain.
func readChain(t *testing.T, from *os.File, last string) (list []string) {
	k, err := deriveKeys(testKey)
	if err != nil {
		t.Error(err)
		return nil
	}
	in, at := bufio.NewReaderSize(from, maxLine), point{0, genesis}
	for {
		text, err := in.ReadSlice('\n')
		if err != nil {
			t.Error(err)
			return list
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		r, is := readRecord(text, k)
		if is != verified || r.Seq != at.seq+1 || r.Prev != at.digest {
			t.Errorf("after record %d: %s", at.seq, text)
			return list
		}
		at, list = r.point(), append(list, string(text))
		if strings.Contains(string(text), fmt.Sprintf(`"request_id":%q`, last)) {
			return list
		}
	}
}

// A write that failed halfway leaves whole lines in a file.
func TestHalfAWriteLeavesWholeLines(t *testing.T) {
	t.Parallel()
	path := newLog(t)
	for n, want := range map[int]string{0: "", 3: "", 4: "abc\n", 6: "abc\n", 8: "abc\ndef\n"} {
		if err := os.WriteFile(path, []byte("first\n"+"abc\ndef\n"[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		w := &writer{path: path}
		if err := w.openFile(); err != nil {
			t.Fatal(err)
		}
		w.buffer = []byte("abc\ndef\n")
		kept := w.whole(n)
		w.close()
		text, err := os.ReadFile(path)
		if err != nil || string(text) != "first\n"+want || kept != len(want) {
			t.Errorf("%d bytes written: %q is left, and %d taken for written: %v", n, text, kept, err)
		}
	}
}
