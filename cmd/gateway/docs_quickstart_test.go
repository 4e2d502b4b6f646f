package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
)

// start is README's way to run the gateway with a file.
type start struct {
	configuration string
	shell         []string // what is typed before the gateway runs, and that
	calls         []string // what is typed in another terminal
}

func quickStart(t *testing.T) start {
	t.Helper()
	var s start
	for _, b := range blocks(section(t, read(t, repository+"/README.md"), "## Run it with a file")) {
		switch {
		case b.title() == "gateway.yaml":
			s.configuration = b.text
		case strings.Contains(b.text, "gateway run"):
			s.shell = strings.Split(strings.TrimSpace(b.text), "\n")
		case strings.Contains(b.text, "curl"):
			s.calls = strings.Split(strings.TrimSpace(b.text), "\n")
		}
	}
	if s.configuration == "" || len(s.shell) < 4 || len(s.calls) < 4 {
		t.Fatalf("README's start is not understood: %+v", s)
	}
	return s
}

// README's start works as it is written, but for the ports, which may be taken
// where the test runs.
func TestReadmeStartWorks(t *testing.T) {
	s, operations := quickStart(t), read(t, repository+"/docs/operations.md")
	move := freePorts(t, "8080", "8081", "8082", "9090")
	t.Chdir(t.TempDir())
	t.Setenv("VAULT_ADDR", "") // or auto would not mean env
	configuration := move(s.configuration + "\nadmin: {listen: 127.0.0.1:9090}\n")
	if err := os.WriteFile("gateway.yaml", []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	var out peertest.Buffer
	for _, line := range s.shell {
		line = move(line)
		if assignment, ok := strings.CutPrefix(line, "export "); ok {
			name, value, _ := strings.Cut(assignment, "=")
			t.Setenv(name, value)
			continue
		}
		command, waits := strings.TrimSuffix(line, " &"), !strings.HasSuffix(line, " &") && !strings.Contains(line, " run ")
		args := strings.Fields(strings.TrimPrefix(command, "bin/gateway "))
		var errs peertest.Buffer
		ended := func() {
			if got := run(ctx, args, streams{nil, &out, &errs}); got != exitOK {
				t.Errorf("%s: ended with %d: %s", line, got, errs.String())
			}
		}
		if waits {
			ended()
		} else {
			all.Go(ended)
		}
	}
	awaitStatus(t, move("http://127.0.0.1:9090/readyz"), http.StatusOK)
	token := ""
	for _, line := range s.calls {
		line = move(line)
		if inner, ok := strings.CutPrefix(line, "token=$("); ok {
			inner, filter, _ := strings.Cut(inner, " | sed ")
			status, body := curl(t, inner)
			token = sed(t, filter, body)
			if status != http.StatusOK || strings.Count(token, ".") != 2 {
				t.Fatalf("%s: %d %s", line, status, body)
			}
			continue
		}
		call, comment, _ := strings.Cut(line, " #")
		want := http.StatusOK
		if comment != "" {
			want, _ = strconv.Atoi(strings.TrimSpace(comment))
		}
		if got, body := curl(t, strings.ReplaceAll(call, "$token", token)); got != want {
			t.Errorf("%s: %d %s", call, got, body)
		}
	}
	end()
	all.Wait()
	checkAccessLog(t, operations, out.String())
}

// checkAccessLog holds the document's list of fields to the lines of the calls,
// of which one was refused and one was not.
func checkAccessLog(t *testing.T, operations, out string) {
	logged, listed := make(map[string]bool), make(map[string]bool)
	for line := range strings.Lines(out) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["request_id"] != nil {
			for name := range fields {
				logged[name] = true
			}
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section(t, operations, "## Access log"), -1) {
		for name := range strings.SplitSeq(match[1], ", ") {
			listed[strings.Trim(name, "`")] = true
		}
	}
	if !maps.Equal(logged, listed) {
		t.Errorf("the access log has %v\nand the document %v", slices.Sorted(maps.Keys(logged)), slices.Sorted(maps.Keys(listed)))
	}
}

// freePorts returns a function that puts free ports in the place of those named.
func freePorts(t *testing.T, ports ...string) func(string) string {
	t.Helper()
	var pairs []string
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, "127.0.0.1:"+port, l.Addr().String())
		defer l.Close()
	}
	return strings.NewReplacer(pairs...).Replace
}

// awaitStatus asks address until it answers with status.
func awaitStatus(t *testing.T, address string, status int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		res, err := http.Get(address)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == status {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v", address, res, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// curl does what the few options that the documents use ask for.
func curl(t *testing.T, line string) (status int, body string) {
	t.Helper()
	words := regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(line, -1)
	form, header, address, user := neturl.Values{}, http.Header{}, "", ""
	for i := 1; i < len(words); i++ {
		word := strings.Trim(words[i], `"'`)
		switch word {
		case "-i", "-s":
			continue
		case "-u", "-d", "-H":
			i++
			value := strings.Trim(words[i], `"'`)
			name, rest, _ := strings.Cut(value, map[string]string{"-u": ":", "-d": "=", "-H": ": "}[word])
			switch word {
			case "-u":
				user = value
			case "-d":
				form.Set(name, rest)
			case "-H":
				header.Set(name, rest)
			}
		default:
			address = word
		}
	}
	method, content := http.MethodGet, io.Reader(nil)
	if len(form) > 0 {
		method, content = http.MethodPost, strings.NewReader(form.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	r.Header = header
	if name, password, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return res.StatusCode, string(text)
}

// sed does the one substitution the documents use, 's/EXPRESSION/\1/'.
func sed(t *testing.T, filter, body string) string {
	t.Helper()
	script := regexp.MustCompile(`'s/(.*)/\\1/'`).FindStringSubmatch(filter)
	if script == nil {
		t.Fatalf("sed %s is not understood", filter)
	}
	expression := strings.NewReplacer(`\(`, "(", `\)`, ")").Replace(script[1])
	if match := regexp.MustCompile(expression).FindStringSubmatch(body); match != nil {
		return match[1]
	}
	return body
}
