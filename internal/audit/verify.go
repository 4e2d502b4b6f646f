package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Fault is the first thing that is wrong with a log.
type Fault struct {
	File    string
	Line    int // in File, from 1; 0 where the fault is in no line
	Problem string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Problem
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Problem)
}

// Report tells of a log that is as it was written.
type Report struct {
	First, Last uint64 // the numbers of its records; both 0 if there is none
	Notes       []string
}

// Verify reads the logs in files, which may be parts of one that was rotated and
// in any order, with all keys that signed them. Its error is a [*Fault] naming
// the first record that was changed, removed or moved, or says why a file cannot
// be read.
func Verify(secrets [][]byte, files ...string) (Report, error) {
	v := new(verifier)
	for _, key := range secrets {
		k, err := deriveKeys(key)
		if err != nil {
			return Report{}, err
		}
		v.keys = append(v.keys, k)
	}
	files, err := inOrder(files)
	if err != nil {
		return Report{}, err
	}
	if len(files) == 0 {
		return Report{}, errors.New("audit: no file to verify")
	}
	// Before the log: a gateway that writes at this moment may then only seem to
	// have more records than the head knows.
	if err := v.readHead(files[len(files)-1]); err != nil {
		return Report{}, err
	}
	for i, file := range files {
		if err := v.read(file, i == len(files)-1); err != nil {
			return Report{}, err
		}
	}
	if err := v.end(files[len(files)-1]); err != nil {
		return Report{}, err
	}
	return v.report, nil
}

// inOrder sorts files by the number their first record claims, which is
// believed for no more than that. Empty ones come last.
func inOrder(files []string) ([]string, error) {
	firsts := make(map[string]uint64)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		text, _ := bufio.NewReaderSize(f, maxLine).ReadSlice('\n')
		_ = f.Close()
		firsts[file] = 1<<64 - 1
		if len(text) > 0 {
			first, _ := readRecord(text[:len(text)-1])
			firsts[file] = first.Seq
		}
	}
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b string) int {
		switch {
		case firsts[a] < firsts[b]:
			return -1
		case firsts[a] > firsts[b]:
			return 1
		}
		return 0
	})
	return sorted, nil
}

// verifier is what is known so far.
type verifier struct {
	keys   []*keys
	head   head
	headIs standing
	at     point
	begun  bool
	ended  bool // the newest record says that the file was moved away
	report Report
}

func (v *verifier) readHead(file string) error {
	name := headPath(file)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // end judges it
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	v.head, v.headIs = readHead(text, v.keys...)
	switch v.headIs {
	case wrong:
		return &Fault{name, 0, "the head was changed"}
	case foreign:
		return &Fault{name, 0, "the head stands under the audit key " + shown(v.head.Key) + ", which was not given"}
	}
	return nil
}

// read checks the lines of one file.
func (v *verifier) read(file string, newest bool) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, maxLine)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(text) == 0:
			return nil
		case err == io.EOF && newest && v.headIs == verified && v.head.Seq <= v.at.seq:
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s ends in half a line, which had not become a record", file))
			return nil
		case err == io.EOF:
			return &Fault{file, number, v.due() + " was changed: half of its line is missing"}
		case errors.Is(err, bufio.ErrBufferFull):
			return &Fault{file, number, v.due() + " was changed: its line is too long"}
		case err != nil:
			return fmt.Errorf("audit: %w", err)
		}
		if problem := v.check(text[:len(text)-1]); problem != "" {
			return &Fault{file, number, problem}
		}
	}
}

// due names the record that comes next.
func (v *verifier) due() string {
	if !v.begun {
		return "the first record"
	}
	return fmt.Sprintf("record %d", v.at.seq+1)
}

// check judges one line, and takes it in.
func (v *verifier) check(text []byte) (problem string) {
	r, is := readRecord(text, v.keys...)
	switch is {
	case wrong:
		return v.due() + " was changed"
	case foreign:
		return fmt.Sprintf("%s stands under the audit key %s, which was not given, or was changed", v.due(), shown(r.Key))
	}
	switch next := v.at.seq + 1; {
	case !v.begun:
		if problem = v.first(r); problem != "" {
			return problem
		}
	case r.Seq > next && r.Seq == next+1:
		return fmt.Sprintf("record %d was removed or moved: record %d stands in its place", next, r.Seq)
	case r.Seq > next:
		return fmt.Sprintf("records %d to %d were removed or moved: record %d stands in their place", next, r.Seq-1, r.Seq)
	case r.Seq < next:
		return fmt.Sprintf("record %d was moved or repeated: it stands after record %d", r.Seq, v.at.seq)
	case r.Prev != v.at.digest:
		return fmt.Sprintf("record %d does not belong to the record before it", r.Seq)
	}
	if r.Event == KindLog && r.Action == actionGap {
		return fmt.Sprintf("record %d tells that the log was tampered with while no gateway ran: %s", r.Seq, r.Reason)
	}
	if v.headIs == verified && r.Seq == v.head.Seq && r.digest != v.head.Digest {
		return fmt.Sprintf("record %d is not the one the head has", r.Seq)
	}
	v.begun, v.at, v.ended = true, r.point(), r.Event == KindLog && r.Action == actionEnd
	v.report.Last = r.Seq
	return ""
}

// first judges the record that all others follow. Where that is not number 1, it
// must be the one a gateway began a file with.
func (v *verifier) first(r stub) string {
	v.report.First = r.Seq
	switch {
	case r.Seq == 1 && r.Prev == genesis:
	case r.Event == KindLog && r.Action == actionBegin:
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("records 1 to %d stand in earlier files", r.Seq-1))
	case r.Event == KindLog && r.Action == actionGap:
	case r.Seq == 2:
		return "record 1 was removed or moved: the log begins with record 2"
	default:
		return fmt.Sprintf("records 1 to %d were removed or moved: the log begins with record %d", r.Seq-1, r.Seq)
	}
	return ""
}

// end holds the newest record against the head.
func (v *verifier) end(file string) error {
	name := headPath(file)
	if v.headIs == verified && v.head.Until < v.at.seq { // a gateway may have written more, and this head, meanwhile
		before := v.head
		if err := v.readHead(file); err != nil {
			return err
		}
		if v.headIs == verified && v.head.Until >= v.at.seq {
			return nil
		}
		v.head, v.headIs = before, verified
	}
	switch {
	case v.headIs == missing && v.ended:
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s was moved away whole; later records stand in another file", file))
	case v.headIs == missing:
		return &Fault{name, 0, fmt.Sprintf("the head is missing: whether records after %d were removed cannot be told", v.at.seq)}
	case v.head.Seq == v.at.seq+1:
		return &Fault{file, 0, fmt.Sprintf("record %d was removed from the end: the head knows it", v.head.Seq)}
	case v.head.Seq > v.at.seq:
		return &Fault{file, 0, fmt.Sprintf("records %d to %d were removed from the end: the head knows them", v.at.seq+1, v.head.Seq)}
	case v.head.Until < v.at.seq:
		return &Fault{name, 0, fmt.Sprintf("the head is older than record %d of the log: it was put back, and whether records after %d were removed cannot be told", v.head.Until+1, v.at.seq)}
	case v.head.Seq < v.at.seq:
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("records %d to %d were being written when the gateway ended, or are now", v.head.Seq+1, v.at.seq))
	}
	return nil
}

// shown is a key's id for a message, if it is one.
func shown(id string) string {
	if len(id) > 2*8 || id == "" {
		return "(unknown)"
	}
	return fmt.Sprintf("%q", id)
}
