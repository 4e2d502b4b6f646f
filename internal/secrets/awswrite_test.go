package secrets_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func setAWS(t *testing.T, a *secrets.AWS, path, field, value string) error {
	t.Helper()
	return a.Set(t.Context(), secrets.Reference{Path: path, Field: field}, secrets.NewSecret(value))
}

func TestAWSSets(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	arn := createAWS(t, moto, "prod/there", "old")
	createAWS(t, moto, "prod/json", `{ "user": "u", "n": 1.50, "nested": {"a": [1]} }`)
	createAWS(t, moto, "prod/bytes", []byte("\xff"))
	a := newAWS(t, moto.Endpoint, func(o *secrets.AWSOptions) { o.Prefix = "prod/" })
	for _, c := range []struct{ path, field, value, want string }{
		{"there", "", "new", "new"},
		{arn, "", "by its ARN", "by its ARN"},
		{"created", "", "value\n", "value\n"},
		{"created-json", "k", `"v"`, `{"k": "\"v\""}`},
		{"json", "user", "ü", `{ "user": "ü", "n": 1.50, "nested": {"a": [1]} }`},
		{"json", "more", "m", `{ "user": "ü", "n": 1.50, "nested": {"a": [1]}, "more": "m" }`},
		{"json", "more", "m", `{ "user": "ü", "n": 1.50, "nested": {"a": [1]}, "more": "m" }`}, // the same again
		{"bytes", "", "text", "text"},
		{"there", "", "\x00\xfe", "\x00\xfe"},
	} {
		must(t, setAWS(t, a, c.path, c.field, c.value))
		got, err := secrets.Get(t.Context(), a, secrets.Reference{Path: c.path})
		if err != nil || got.Reveal() != c.want {
			t.Errorf("%s#%s: it is %q, %v; want %q", c.path, c.field, got.Reveal(), err, c.want)
		}
	}
	if got := currentAWS(t, moto, "prod/created"); got != "value\n" { // with the prefix
		t.Errorf("moto has %q", got)
	}
	if got := moto.Do(t, "GetSecretValue", map[string]any{"SecretId": "prod/json", "VersionStage": "AWSPREVIOUS"})["SecretString"]; got == "" {
		t.Error("the version before is gone")
	}
}

func TestAWSSetRefuses(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "text", awsCanary)
	createAWS(t, moto, "array", `["`+awsCanary+`"]`)
	createAWS(t, moto, "twice", `{"a":"`+awsCanary+`","a":""}`)
	createAWS(t, moto, "bytes", []byte(awsCanary))
	createAWS(t, moto, "full", `{"a":"`+strings.Repeat("x", 65500)+`"}`)
	createAWS(t, moto, "gone", "x")
	moto.Do(t, "DeleteSecret", map[string]any{"SecretId": "gone"})
	path := startAWSPath(t, moto.Endpoint, nil)
	a := newAWS(t, path.URL)
	for _, c := range []struct {
		path, field, value string
		kind               error
		says               string
	}{
		{"text", "", "", secrets.ErrEmpty, "aws: set text: "},
		{"text", "a", "", secrets.ErrEmpty, "aws: set text#a: "},
		{"text", "a", awsCanary, secrets.ErrInvalid, "not one good JSON object"},
		{"array", "a", awsCanary, secrets.ErrInvalid, "not one good JSON object"},
		{"twice", "a", awsCanary, secrets.ErrInvalid, "not one good JSON object"},
		{"bytes", "a", awsCanary, secrets.ErrInvalid, "no text"},
		{"text", "", strings.Repeat(awsCanary, 3000), secrets.ErrInvalid, "longer than 65536 bytes"},
		{"full", "b", strings.Repeat("x", 100), secrets.ErrInvalid, "longer than 65536 bytes"},
		{"new", "a", "\xff" + awsCanary, secrets.ErrInvalid, "UTF-8"},
		{"gone", "a", awsCanary, secrets.ErrNotFound, "marked for deletion"},
		{"a b", "", awsCanary, secrets.ErrInvalid, "a name has letters"},
		{awsAccount + "none-aaaaaa", "", awsCanary, secrets.ErrNotFound, "created by a name alone"},
		{awsAccount + "none-aaaaaa", "a", awsCanary, secrets.ErrNotFound, "created by a name alone"},
	} {
		isAWSError(t, setAWS(t, a, c.path, c.field, c.value), c.kind, c.says)
	}
	for name, want := range map[string]string{"text": awsCanary, "array": `["` + awsCanary + `"]`} {
		if got := currentAWS(t, moto, name); got != want {
			t.Errorf("%s has become %q", name, got)
		}
	}
	for action, field := range map[string]string{"PutSecretValue": "", "CreateSecret": "", "GetSecretValue": "k"} {
		path.now(func(c awsCall) *awsAnswer {
			if c.action == action {
				return awsFault(http.StatusBadRequest, "AccessDeniedException", "not authorized")
			}
			return nil
		})
		isAWSError(t, setAWS(t, a, "nowhere", field, awsCanary), secrets.ErrDenied, "must allow secretsmanager:"+action)
	}
	path.now(func(awsCall) *awsAnswer {
		return awsFault(http.StatusBadRequest, "AccessDeniedException", "Access to KMS is not allowed")
	})
	isAWSError(t, setAWS(t, a, "text", "", awsCanary), secrets.ErrDenied, "kms:GenerateDataKey")
}

func TestAWSSetThatWasCutOffIsMadeOnce(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", `{"k":"0"}`)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		if c.action != "GetSecretValue" && c.nth == 1 { // it arrives, and the answer does not
			moto.Do(t, c.action, c.body)
			return &awsAnswer{status: http.StatusBadGateway}
		}
		return nil
	})
	a := newAWS(t, path.URL)
	must(t, setAWS(t, a, "a", "k", "1"))
	must(t, setAWS(t, a, "b", "", "new"))
	if got := currentAWS(t, moto, "a"); got != `{"k":"1"}` {
		t.Errorf("a is %q", got)
	}
	versions := moto.Do(t, "ListSecretVersionIds", map[string]any{"SecretId": "a"})["Versions"].([]any)
	if len(versions) != 2 {
		t.Errorf("%d versions, want 2", len(versions))
	}
	if got := currentAWS(t, moto, "b"); got != "new" {
		t.Errorf("b is %q", got)
	}
}

// As many writers as fields, all at once: each must either have set its field or
// have been told that it has not.
func TestAWSWritersOfFieldsLoseNothing(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", `{"base":"stays"}`)
	path := startAWSPath(t, moto.Endpoint, nil)
	path.oneByOne = true
	conflicts := 0
	var mu sync.Mutex
	var writers sync.WaitGroup
	begin := make(chan struct{})
	for i := range 8 {
		a := newAWS(t, path.URL)
		writers.Go(func() {
			<-begin
			for {
				err := setAWS(t, a, "a", fmt.Sprintf("field%d", i), fmt.Sprint(i))
				if err == nil {
					return
				}
				if !errors.Is(err, secrets.ErrConflict) {
					t.Error(err)
					return
				}
				mu.Lock()
				conflicts++
				mu.Unlock()
			}
		})
	}
	close(begin)
	writers.Wait()
	a := newAWS(t, moto.Endpoint)
	doc, err := a.Read(t.Context(), "a")
	must(t, err)
	for i := range 8 {
		if got, err := doc.Field(fmt.Sprintf("field%d", i)); err != nil || got.Reveal() != fmt.Sprint(i) {
			t.Errorf("field%d is %q, %v", i, got.Reveal(), err)
		}
	}
	if got, err := doc.Field("base"); err != nil || got.Reveal() != "stays" {
		t.Errorf("base is %q, %v", got.Reveal(), err)
	}
	t.Logf("%d conflicts", conflicts)
}

func TestAWSSetNoticesAnotherWriter(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	other := newAWS(t, moto.Endpoint)
	for name, c := range map[string]struct {
		between func(t *testing.T, name string)
		want    string // what is current then
	}{
		"of a field, too":   {func(t *testing.T, name string) { must(t, setAWS(t, other, name, "theirs", "2")) }, `{"a":"1", "theirs": "2"}`},
		"of another kind":   {func(t *testing.T, name string) { rotateAWS(t, moto, name, `{"a":"rotated"}`) }, `{"a":"1", "mine": "2"}`},
		"who was the first": {func(t *testing.T, name string) { createAWS(t, moto, name+"-new", "x") }, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			name := strings.Map(func(r rune) rune {
				if r == ' ' || r == ',' {
					return '-'
				}
				return r
			}, name)
			createAWS(t, moto, name, `{"a":"1"}`)
			target := name
			if c.want == "x" {
				target = name + "-new"
			}
			path := startAWSPath(t, moto.Endpoint, func(call awsCall) *awsAnswer {
				if (call.action == "PutSecretValue" || call.action == "CreateSecret") && call.nth == 1 {
					c.between(t, name)
				}
				return nil
			})
			isAWSError(t, setAWS(t, newAWS(t, path.URL), target, "mine", "2"), secrets.ErrConflict, "aws: set "+target+"#mine: ")
			if got := currentAWS(t, moto, target); got != c.want {
				t.Errorf("current is %s, want %s", got, c.want)
			}
		})
	}
}

func TestAWSSetThatOthersBuiltUponIsNoConflict(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", `{"k":"0"}`)
	other := newAWS(t, moto.Endpoint)
	var once sync.Once
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		if c.body["VersionStage"] == "AWSPREVIOUS" {
			once.Do(func() {
				for i := range 3 {
					if err := setAWS(t, other, "a", fmt.Sprintf("more%d", i), "x"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		return nil
	})
	must(t, setAWS(t, newAWS(t, path.URL), "a", "k", "1"))
	if got, want := currentAWS(t, moto, "a"), `{"k":"1", "more0": "x", "more1": "x", "more2": "x"}`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// A version that was made current again has a successor already, of which AWS
// takes no second one of that name.
func TestAWSSetsAFieldAfterARollback(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", `{"k":"0"}`)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		if c.action == "PutSecretValue" && c.nth == 1 {
			return awsFault(http.StatusBadRequest, "ResourceExistsException", "You can't use ClientRequestToken")
		}
		return nil
	})
	must(t, setAWS(t, newAWS(t, path.URL), "a", "k", "1"))
	if got := currentAWS(t, moto, "a"); got != `{"k":"1"}` {
		t.Errorf("it is %q", got)
	}
}

func TestAWSLists(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	for i := range 130 {
		createAWS(t, moto, fmt.Sprintf("prod/many/%03d", i), "x")
	}
	for _, name := range []string{"prod/a/deep/one", "prod/a", "prod/b", "Prod/c", "test/prod/a", "prod/"} {
		createAWS(t, moto, name, awsCanary)
	}
	createAWS(t, moto, "prod/gone", "x")
	moto.Do(t, "DeleteSecret", map[string]any{"SecretId": "prod/gone"})
	var filters sync.Map
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		filters.Store(fmt.Sprint(c.body["Filters"]), true)
		return nil
	})
	prefixed := newAWS(t, path.URL, func(o *secrets.AWSOptions) { o.Prefix = "prod/" })
	bare := newAWS(t, path.URL)
	for _, c := range []struct {
		a       *secrets.AWS
		pattern string
		want    []string
		calls   int
	}{
		{prefixed, "a*", []string{"a", "a/deep/one"}, 1},
		{prefixed, "a/*one", []string{"a/deep/one"}, 1},
		{prefixed, "*one", []string{"a/deep/one"}, 2},
		{prefixed, "b", []string{"b"}, 1},
		{prefixed, "none*", nil, 1},
		{prefixed, "A*", nil, 1},
		{prefixed, "g*", nil, 1},
		{prefixed, "ä*", nil, 0},
		{prefixed, "many/00*", []string{"many/000", "many/001", "many/002", "many/003", "many/004", "many/005", "many/006", "many/007", "many/008", "many/009"}, 1},
		{bare, "prod/a*", []string{"prod/a", "prod/a/deep/one"}, 1},
		{bare, "*/a", []string{"prod/a", "test/prod/a"}, 2},
		{bare, "!prod*", nil, 2},
	} {
		path.now(path.answer)
		got, err := c.a.List(t.Context(), c.pattern)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.pattern, got, err, c.want)
		}
		want := fmt.Sprintf("ListSecrets:%d", c.calls)
		if c.calls == 0 {
			want = ""
		}
		if got := path.counts(); got != want {
			t.Errorf("%s: calls: %s, want %s", c.pattern, got, want)
		}
	}
	all, err := prefixed.List(t.Context(), "")
	if err != nil || len(all) != 133 || !slices.IsSorted(all) {
		t.Errorf("%d names, %v; want 133, sorted", len(all), err)
	}
	if _, ok := filters.Load("[map[Key:name Values:[prod/a]]]"); !ok {
		t.Error("the names are not filtered by AWS")
	}
}

func TestAWSListIsBounded(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf(`{"Name":"s%d-%d"}`, c.nth, i))
		}
		return &awsAnswer{status: 200, body: `{"NextToken":"more","SecretList":[` + strings.Join(names, ",") + `]}`}
	})
	a := newAWS(t, path.URL)
	_, err := a.List(t.Context(), "s*")
	isAWSError(t, err, secrets.ErrInvalid, "narrower")
	if got := path.counts(); got != "ListSecrets:101" {
		t.Errorf("calls: %s", got)
	}
	path.now(func(awsCall) *awsAnswer { return &awsAnswer{status: 200, body: `{"NextToken":"more","SecretList":[]}`} })
	_, err = a.List(t.Context(), "s*")
	isAWSError(t, err, secrets.ErrInvalid, "narrower")
	path.now(func(awsCall) *awsAnswer {
		return awsFault(http.StatusBadRequest, "AccessDeniedException", "not authorized")
	})
	_, err = a.List(t.Context(), "s*")
	isAWSError(t, err, secrets.ErrDenied, "must allow secretsmanager:ListSecrets")
}
