package secrets_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// moto throttles, denies and breaks nothing, so the path to it answers as AWS
// would. What AWS says in words, and what it answers with, holds the canary.
func TestAWSFaultsHaveTheirOwnErrors(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	var log awsLog
	elsewhere := startAWSPath(t, moto.Endpoint, nil)
	var cases sync.WaitGroup
	for name, c := range map[string]struct {
		answer *awsAnswer
		kind   error
		says   string
		tries  int
	}{
		"not there":               {awsFault(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."), secrets.ErrNotFound, "there is none of that name", 1},
		"marked for deletion":     {awsFault(400, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."), secrets.ErrNotFound, "marked for deletion", 1},
		"in another state":        {awsFault(400, "InvalidRequestException", "The secret is managed by another service."), secrets.ErrInvalid, "(InvalidRequestException)", 1},
		"the policy denies":       {awsFault(400, "AccessDeniedException", "User: arn is not authorized to perform: secretsmanager:GetSecretValue"), secrets.ErrDenied, "must allow secretsmanager:GetSecretValue (AccessDeniedException)", 1},
		"the key's policy denies": {awsFault(400, "AccessDeniedException", "Access to KMS is not allowed"), secrets.ErrDenied, "kms:Decrypt", 1},
		"the key is disabled":     {awsFault(400, "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text"), secrets.ErrDenied, "KMS cannot decrypt it", 1},
		"the key is not known":    {awsFault(400, "UnrecognizedClientException", "The security token included in the request is invalid."), secrets.ErrDenied, "does not accept the access key", 1},
		"the signature is wrong":  {awsFault(403, "InvalidSignatureException", "The request signature does not match"), secrets.ErrDenied, "does not accept the access key", 1},
		"the token has expired":   {awsFault(400, "ExpiredTokenException", "The security token included in the request is expired"), secrets.ErrUnavailable, "has expired", 1},
		"throttled":               {awsFault(400, "ThrottlingException", "Rate exceeded"), secrets.ErrThrottled, "AWS throttles the calls", 5},
		"throttled by status":     {&awsAnswer{status: 429, body: awsCanary}, secrets.ErrThrottled, "status 429", 5},
		"a fault of AWS":          {awsFault(500, "InternalServiceError", "An error occurred on the server side."), secrets.ErrUnavailable, "(InternalServiceError)", 5},
		"a page of a proxy":       {&awsAnswer{status: 503, body: "<html>" + awsCanary}, secrets.ErrUnavailable, "status 503", 5},
		"another server":          {&awsAnswer{status: 404, body: "<html>" + awsCanary}, secrets.ErrUnavailable, "status 404", 1},
		"a firewall":              {&awsAnswer{status: 403, body: "<html>" + awsCanary}, secrets.ErrDenied, "status 403", 1},
		"a code nobody knows":     {awsFault(400, awsCanary, "x"), secrets.ErrUnavailable, "status 400", 1},
		"nothing":                 {&awsAnswer{status: 200}, secrets.ErrUnavailable, "no secret in it", 1},
		"an empty object":         {&awsAnswer{status: 200, body: "{}"}, secrets.ErrUnavailable, "no secret in it", 1},
		"no JSON":                 {&awsAnswer{status: 200, body: `{"SecretString":"` + awsCanary}, secrets.ErrUnavailable, "cannot be read", 1},
		"another type":            {&awsAnswer{status: 200, body: `{"SecretString":["` + awsCanary + `"]}`}, secrets.ErrUnavailable, "cannot be read", 1},
		"an endless one":          {&awsAnswer{status: 200, body: `{"SecretString":"` + strings.Repeat(awsCanary, 100000) + `"}`}, secrets.ErrUnavailable, "larger than 1 MiB", 1},
		"an endless fault":        {&awsAnswer{status: 400, body: `{"message":"` + strings.Repeat(awsCanary, 100000) + `"}`}, secrets.ErrUnavailable, "status 400", 1},
		"a redirect":              {&awsAnswer{status: 307, header: http.Header{"Location": {elsewhere.URL}}}, secrets.ErrUnavailable, "status 307", 1},
		"another redirect":        {&awsAnswer{status: 302, header: http.Header{"Location": {elsewhere.URL}}}, secrets.ErrUnavailable, "status 302", 1},
	} {
		cases.Go(func() {
			t.Run(name, func(t *testing.T) { // not one after the other, for they wait most of the time
				path := startAWSPath(t, moto.Endpoint, func(awsCall) *awsAnswer { return c.answer })
				a := newAWS(t, path.URL, func(o *secrets.AWSOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
				began := time.Now()
				_, err := a.Read(t.Context(), "a")
				isAWSError(t, err, c.kind, "aws: read a: ")
				isAWSError(t, err, c.kind, c.says)
				if c.kind == secrets.ErrThrottled {
					isAWSError(t, err, secrets.ErrUnavailable, "")
				}
				if got, want := path.counts(), fmt.Sprintf("GetSecretValue:%d", c.tries); got != want {
					t.Errorf("calls: %s, want %s", got, want)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	cases.Wait()
	if got := elsewhere.counts(); got != "" {
		t.Errorf("the redirect was followed: %s", got)
	}
	awsTellsNothing(t, log.String())
}

func TestAWSThrottledCallsAreTriedAgain(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	names := manyAWS(t, moto, 3)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		if c.nth%2 == 1 {
			return awsFault(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
		}
		return nil
	})
	a := newAWS(t, path.URL)
	for range 5 {
		areReadByAWS(t, a.ReadMany(t.Context(), names), names)
		if _, err := a.Read(t.Context(), names[0]); err != nil {
			t.Error(err)
		}
	}
	if got := path.counts(); got != "BatchGetSecretValue:10 GetSecretValue:10" {
		t.Errorf("calls: %s", got)
	}
}

func TestAWSStopsTryingWhileItIsKnownWhatFails(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, func(awsCall) *awsAnswer {
		time.Sleep(1200 * time.Millisecond)
		return awsFault(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	})
	_, err := newAWS(t, path.URL).Read(t.Context(), "a")
	isAWSError(t, err, secrets.ErrThrottled, "(ThrottlingException)")
	if got := path.counts(); got != "GetSecretValue:3" {
		t.Errorf("calls: %s", got)
	}
}

// The SDK's own retryer gives up at once after some outage, until enough calls
// went well.
func TestAWSTriesAsOftenAfterALongOutage(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	path := startAWSPath(t, moto.Endpoint, func(awsCall) *awsAnswer { return &awsAnswer{status: 500} })
	a := newAWS(t, path.URL)
	results := make(chan error)
	for range 60 {
		go func() {
			_, err := a.Read(t.Context(), "a")
			results <- err
		}()
	}
	for range 60 {
		isAWSError(t, <-results, secrets.ErrUnavailable, "status 500")
	}
	if got := path.counts(); got != "GetSecretValue:300" {
		t.Errorf("calls: %s", got)
	}
}

// A fault of the way to the server, what of it is told, and whether a last
// known value and the next one are there in time.
func TestAWSFaultsOfTheWayAreOutages(t *testing.T) {
	t.Parallel()
	var cases sync.WaitGroup
	for name, c := range map[string]struct {
		begin func(*peertest.FaultProxy)
		says  string
	}{
		"down":       {(*peertest.FaultProxy).Cut, "the connection failed"},
		"hanging":    {(*peertest.FaultProxy).Hang, "no answer in time"},
		"corrupting": {(*peertest.FaultProxy).Corrupt, "the connection failed"},
		"cut short":  {func(p *peertest.FaultProxy) { p.CutAfter(200) }, ""}, // in the head, or in the body
		"too slow":   {func(p *peertest.FaultProxy) { p.Delay(10 * time.Second) }, "no answer in time"},
	} {
		cases.Go(func() { t.Run(name, func(t *testing.T) { awsFaultOfTheWay(t, c.begin, c.says) }) })
	}
	cases.Wait()
}

func awsFaultOfTheWay(t *testing.T, begin func(*peertest.FaultProxy), says string) {
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", awsCanary)
	createAWS(t, moto, "b", awsCanary)
	proxy := peertest.NewFaultProxy(t, moto.Endpoint)
	a := newAWS(t, "http://"+proxy.Address)
	var log awsLog
	store := secrets.NewStore(a, secrets.Options{Refresh: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	value := store.Watch(secrets.Reference{Path: "a"})
	store.Watch(secrets.Reference{Path: "b"})
	must(t, store.Fetch(t.Context()))
	runAWSStore(t, store)

	begin(proxy)
	many := make(chan []secrets.Result)
	go func() { many <- a.ReadMany(t.Context(), []string{"a", "b"}) }()
	began := time.Now()
	_, err := a.Read(t.Context(), "a")
	took := time.Since(began)
	isAWSError(t, err, secrets.ErrUnavailable, says)
	for _, r := range <-many {
		isAWSError(t, r.Err, secrets.ErrUnavailable, "aws: read ")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the reads ended after %v", took)
	}
	if began, got := time.Now(), awsValue(t, value); got != awsCanary || time.Since(began) > 100*time.Millisecond {
		t.Errorf("the last known value is %q, after %v", got, time.Since(began))
	}

	rotateAWS(t, moto, "a", "new")
	proxy.Normal()
	for began = time.Now(); awsValue(t, value) != "new"; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatalf("5 s after the outage the value is still the old one\n%s", log.String())
		}
	}
	t.Logf("a read failed after %v with: %v; back after %v", took.Round(time.Millisecond), err, time.Since(began).Round(time.Millisecond))
	awsTellsNothing(t, log.String())
}

func awsValue(t *testing.T, value *secrets.Value) string {
	t.Helper()
	secret, err := value.Get()
	must(t, err)
	return secret.Reveal()
}

func TestAWSSlowAnswersAreAwaited(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	proxy := peertest.NewFaultProxy(t, moto.Endpoint)
	proxy.Delay(700 * time.Millisecond)
	if _, err := newAWS(t, "http://"+proxy.Address).Read(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestAWSRefusedConnectionsAndUnknownHostsAreOutages(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed := listener.Addr().String()
	listener.Close()
	plain := startAWSPath(t, "http://"+closed, nil)
	var cases sync.WaitGroup
	for endpoint, says := range map[string]string{
		"http://" + closed:                               "the endpoint refuses connections",
		"https://" + closed:                              "the endpoint refuses connections",
		"https://nowhere.invalid":                        "",
		strings.Replace(plain.URL, "http:", "https:", 1): "", // speaks no TLS
	} {
		cases.Go(func() {
			t.Run(endpoint, func(t *testing.T) {
				_, err := newAWS(t, endpoint).Read(t.Context(), "a")
				isAWSError(t, err, secrets.ErrUnavailable, says)
			})
		})
	}
	cases.Wait()
}

func TestAWSDownAtTheStartIsThereWithinFiveSecondsOfItsReturn(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	proxy := peertest.NewFaultProxy(t, moto.Endpoint)
	proxy.Cut()
	store := secrets.NewStore(newAWS(t, "http://"+proxy.Address), secrets.Options{})
	value := store.Watch(secrets.Reference{Path: "a"})
	isAWSError(t, store.Fetch(t.Context()), secrets.ErrUnavailable, "aws: read a: ")
	runAWSStore(t, store)
	_, err := value.Get()
	isAWSError(t, err, secrets.ErrUnavailable, "")
	proxy.Normal()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := value.Get(); err == nil {
			t.Logf("there after %v", time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("it is not there after 5 s")
		}
	}
}
