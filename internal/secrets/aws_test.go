package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// What must never be told. moto checks no key.
const (
	awsKey     = "AKIDcanary/Key+1=Q"
	awsToken   = "sessionCanary/Token+2=Q"
	awsCanary  = "valueCanary/Secret+3=Q"
	awsOldKey  = "oldCanary/Key+4=Q"
	awsAccount = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
)

// awsEnv is an environment with a region and keys, and what more is given as
// NAME=value.
func awsEnv(more ...string) func(string) (string, bool) {
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": awsKey, "AWS_SESSION_TOKEN": awsToken,
	}
	return awsOnly(env, more...)
}

func awsOnly(env map[string]string, more ...string) func(string) (string, bool) {
	env = maps.Clone(env)
	if env == nil {
		env = make(map[string]string)
	}
	for _, variable := range more {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func newAWS(t *testing.T, endpoint string, tune ...func(*secrets.AWSOptions)) *secrets.AWS {
	t.Helper()
	o := secrets.AWSOptions{Endpoint: endpoint, Lookup: awsEnv()}
	for _, f := range tune {
		f(&o)
	}
	a, err := secrets.NewAWS(t.Context(), o)
	must(t, err)
	return a
}

// awsPath stands before moto, and counts the calls. It may answer some itself,
// for moto never throttles and denies nobody.
type awsPath struct {
	*httptest.Server
	mu     sync.Mutex
	calls  map[string]int
	answer func(call awsCall) *awsAnswer // nil passes the call on

	// oneByOne lets one call pass at a time, for moto looks and writes in two
	// steps.
	oneByOne bool
	passing  sync.Mutex
}

type awsCall struct {
	action string
	nth    int // of that action, from 1
	header http.Header
	body   map[string]any
}

type awsAnswer struct {
	status int
	body   string
	header http.Header
}

// awsFault is the answer with which AWS tells of a fault. Its text holds what
// must not be told.
func awsFault(status int, code, said string) *awsAnswer {
	return &awsAnswer{status: status, body: fmt.Sprintf(`{"__type":%q,"message":%q}`, code, said+" "+awsCanary)}
}

func startAWSPath(t *testing.T, moto string, answer func(awsCall) *awsAnswer) *awsPath {
	t.Helper()
	target, err := url.Parse(moto)
	must(t, err)
	next := httputil.NewSingleHostReverseProxy(target)
	p := &awsPath{calls: make(map[string]int), answer: answer}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		action, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
		if !ours { // meant for a server of another test that had this port before
			http.NotFound(w, r)
			return
		}
		call := awsCall{action: action, header: r.Header}
		_ = json.Unmarshal(content, &call.body)
		p.mu.Lock()
		p.calls[action]++
		call.nth = p.calls[action]
		answer := p.answer
		p.mu.Unlock()
		if answer != nil {
			if a := answer(call); a != nil {
				maps.Copy(w.Header(), a.header)
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(a.status)
				_, _ = io.WriteString(w, a.body)
				return
			}
		}
		if p.oneByOne {
			p.passing.Lock()
			defer p.passing.Unlock()
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// now changes what is answered, and forgets the counts.
func (p *awsPath) now(answer func(awsCall) *awsAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
	p.calls = make(map[string]int)
}

// counts tells the calls since, as "Action:3".
func (p *awsPath) counts() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for action, n := range p.calls {
		list = append(list, fmt.Sprintf("%s:%d", action, n))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// createAWS puts a secret into moto: a string, or bytes. It returns the ARN.
func createAWS(t *testing.T, moto *peertest.MotoPeer, name string, value any) string {
	t.Helper()
	in := map[string]any{"Name": name, "SecretString": value}
	if b, ok := value.([]byte); ok {
		in = map[string]any{"Name": name, "SecretBinary": b}
	}
	return moto.Do(t, "CreateSecret", in)["ARN"].(string)
}

// rotateAWS makes another value current, the way that works in moto.
func rotateAWS(t *testing.T, moto *peertest.MotoPeer, name, value string) {
	t.Helper()
	moto.Do(t, "PutSecretValue", map[string]any{"SecretId": name, "SecretString": value, "VersionStages": []string{"AWSCURRENT"}})
}

// currentAWS is what moto has.
func currentAWS(t *testing.T, moto *peertest.MotoPeer, name string) string {
	t.Helper()
	value, _ := moto.Do(t, "GetSecretValue", map[string]any{"SecretId": name})["SecretString"].(string)
	return value
}

// awsTellsNothing fails if text has one of the canaries, in whatever spelling.
func awsTellsNothing(t *testing.T, text string) {
	t.Helper()
	for _, canary := range []string{awsKey, awsToken, awsCanary, awsOldKey} {
		for _, spelling := range []string{
			canary, hex.EncodeToString([]byte(canary)), url.QueryEscape(canary), url.PathEscape(canary),
			base64.StdEncoding.EncodeToString([]byte(canary)), base64.URLEncoding.EncodeToString([]byte(canary)),
			strings.Trim(base64.StdEncoding.EncodeToString([]byte(canary))[2:14], "="), canary[:9],
		} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(spelling)) {
				t.Errorf("it tells %q: %s", spelling, text)
			}
		}
	}
}

// isAWSError fails unless err is of the kind and tells what, and no secret.
func isAWSError(t *testing.T, err, kind error, what string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), what) {
		t.Errorf("got %v, want %v telling %q", err, kind, what)
	}
	awsTellsNothing(t, fmt.Sprintf("%v %+v %#v", err, err, err))
}

func TestAWSReads(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	arn := createAWS(t, moto, "db/main", `{"user":"u","password":"p#/ü","port":5432,"empty":""}`)
	createAWS(t, moto, "plain", "a\nvalue\n")
	createAWS(t, moto, "bytes", []byte("\x00\xff\xfe bytes"))
	createAWS(t, moto, "bytes-json", []byte(`{"user":"u"}`))
	createAWS(t, moto, "twice", `{"a":"1","a":"2"}`)
	createAWS(t, moto, "gone", "x")
	moto.Do(t, "DeleteSecret", map[string]any{"SecretId": "gone"})
	moto.Do(t, "CreateSecret", map[string]any{"Name": "novalue"})
	a := newAWS(t, moto.Endpoint)
	for ref, c := range map[secrets.Reference]struct {
		want string
		err  error
		says string
	}{
		{Path: "plain"}:                                {want: "a\nvalue\n"},
		{Path: "db/main"}:                              {want: `{"user":"u","password":"p#/ü","port":5432,"empty":""}`},
		{Path: "db/main", Field: "user"}:               {want: "u"},
		{Path: "db/main", Field: "password"}:           {want: "p#/ü"},
		{Path: "db/main", Field: "none"}:               {err: secrets.ErrNotFound, says: "aws: read db/main#none: "},
		{Path: "db/main", Field: "port"}:               {err: secrets.ErrInvalid, says: "not a string"},
		{Path: "db/main", Field: "empty"}:              {err: secrets.ErrEmpty},
		{Path: "twice", Field: "a"}:                    {err: secrets.ErrInvalid, says: "JSON"},
		{Path: "plain", Field: "user"}:                 {err: secrets.ErrInvalid, says: "JSON"},
		{Path: "bytes"}:                                {want: "\x00\xff\xfe bytes"},
		{Path: "bytes-json", Field: "user"}:            {want: "u"},
		{Path: arn, Field: "user"}:                     {want: "u"},
		{Path: arn[:len(arn)-7], Field: "user"}:        {want: "u"}, // without the six characters
		{Path: arn + "x"}:                              {err: secrets.ErrNotFound, says: arn},
		{Path: "none"}:                                 {err: secrets.ErrNotFound, says: "(ResourceNotFoundException)"},
		{Path: "novalue"}:                              {err: secrets.ErrNotFound},
		{Path: "gone"}:                                 {err: secrets.ErrNotFound, says: "marked for deletion"},
		{Path: "a b"}:                                  {err: secrets.ErrInvalid, says: "a name has letters"},
		{Path: "ä"}:                                    {err: secrets.ErrInvalid, says: "a name has letters"},
		{Path: strings.Repeat("a", 513)}:               {err: secrets.ErrInvalid, says: "a name has letters"},
		{Path: "arn:aws:s3:::bucket"}:                  {err: secrets.ErrInvalid, says: "the ARN is not one of a secret"},
		{Path: "arn:aws:secretsmanager:eu:1:policy:x"}: {err: secrets.ErrInvalid, says: "the ARN is not one of a secret"},
	} {
		got, err := secrets.Get(t.Context(), a, ref)
		if c.err != nil {
			isAWSError(t, err, c.err, c.says)
		} else if err != nil || got.Reveal() != c.want {
			t.Errorf("%s is %q, %v; want %q", ref, got.Reveal(), err, c.want)
		}
	}
}

func TestAWSPrefixGoesBeforeNamesAlone(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	arn := createAWS(t, moto, "prod/db", "in prod")
	createAWS(t, moto, "db", "elsewhere")
	a := newAWS(t, moto.Endpoint, func(o *secrets.AWSOptions) { o.Prefix = "prod/" })
	for path, want := range map[string]string{"db": "in prod", arn: "in prod"} {
		if got, err := secrets.Get(t.Context(), a, secrets.Reference{Path: path}); err != nil || got.Reveal() != want {
			t.Errorf("%s is %q, %v", path, got.Reveal(), err)
		}
	}
	_, err := a.Read(t.Context(), "prod/db")
	isAWSError(t, err, secrets.ErrNotFound, "prod/db")
}

func TestAWSFollowsARotation(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "one")
	createAWS(t, moto, "b", "other")
	a := newAWS(t, moto.Endpoint)
	is := func(want string) {
		t.Helper()
		alone, err := secrets.Get(t.Context(), a, secrets.Reference{Path: "a"})
		must(t, err)
		many := a.ReadMany(t.Context(), []string{"a", "b"})
		must(t, many[0].Err)
		together, err := many[0].Document.Field("")
		must(t, err)
		if alone.Reveal() != want || together.Reveal() != want {
			t.Errorf("alone it is %q, together %q; want %q", alone.Reveal(), together.Reveal(), want)
		}
	}
	is("one")
	// A rotation first stores the new value beside the one in use.
	moto.Do(t, "PutSecretValue", map[string]any{"SecretId": "a", "SecretString": "two", "VersionStages": []string{"AWSPENDING"}})
	is("one")
	rotateAWS(t, moto, "a", "two")
	is("two")
}

func TestAWSRotationReachesTheStoreWithoutAFailedRead(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", `{"k":"0"}`)
	createAWS(t, moto, "b", "other")
	store := secrets.NewStore(newAWS(t, moto.Endpoint), secrets.Options{Refresh: 50 * time.Millisecond})
	k := store.Watch(secrets.Reference{Path: "a", Field: "k"})
	store.Watch(secrets.Reference{Path: "b"})
	must(t, store.Fetch(t.Context()))
	runAWSStore(t, store)
	for i := range 5 {
		want := fmt.Sprint(i + 1)
		rotateAWS(t, moto, "a", fmt.Sprintf(`{"k":%q}`, want))
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			got, err := k.Get()
			must(t, err)
			if got.Reveal() == want {
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Fatalf("after 5 s it is %q still, want %q", got.Reveal(), want)
			}
		}
	}
}

// runAWSStore runs the store until the test ends, and what it was reading then.
func runAWSStore(t *testing.T, store *secrets.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = store.Fetch(ctx)
	})
}

func TestAWSTrustsItsCAFile(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", awsCanary)
	target, err := url.Parse(moto.Endpoint)
	must(t, err)
	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of the handshake that is refused
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err = newAWS(t, server.URL).Read(t.Context(), "a")
	isAWSError(t, err, secrets.ErrUnavailable, "the certificate of the endpoint is not trusted")

	dir := t.TempDir()
	write(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	trusting := newAWS(t, server.URL, func(o *secrets.AWSOptions) { o.CAFile = dir + "/ca.pem" })
	if got, err := secrets.Get(t.Context(), trusting, secrets.Reference{Path: "a"}); err != nil || got.Reveal() != awsCanary {
		t.Errorf("got %v, %v", got, err)
	}
}

// awsLog is a buffer for a log that goes on.
type awsLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *awsLog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *awsLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
