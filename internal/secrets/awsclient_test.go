package secrets_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

func TestNewAWSRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "empty.pem", awsCanary)
	write(t, dir, "broken", "[default]\naws_access_key_id = AKID\naws_secret_access_key\n = "+awsCanary+"\n[["+awsCanary+"\n")
	write(t, dir, "half", "[profile half]\nregion = eu-central-1\naws_secret_access_key = "+awsCanary+"\n")
	write(t, dir, "loop", "[profile loop]\nregion = eu-central-1\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = "+"gone\n")
	profile := []string{"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	for name, c := range map[string]struct {
		o    secrets.AWSOptions
		says string
	}{
		"no region":              {secrets.AWSOptions{Lookup: awsOnly(nil)}, "no region"},
		"a region with a dot":    {secrets.AWSOptions{Region: "evil.example.com/"}, "the region must be"},
		"http over the network":  {secrets.AWSOptions{Endpoint: "http://aws.example.com"}, "must be https"},
		"http in the variable":   {secrets.AWSOptions{Lookup: awsEnv("AWS_ENDPOINT_URL=http://aws.example.com")}, "must be https"},
		"http in the other one":  {secrets.AWSOptions{Lookup: awsEnv("AWS_ENDPOINT_URL_SECRETS_MANAGER=http://aws.example.com")}, "must be https"},
		"http to the metadata":   {secrets.AWSOptions{Endpoint: "http://169.254.169.254"}, "must be https"},
		"a password in the URL":  {secrets.AWSOptions{Endpoint: "https://user:" + "valueCanary@aws.example.com"}, "without user"},
		"a query in the URL":     {secrets.AWSOptions{Endpoint: "https://aws.example.com?key=valueCanary"}, "without user"},
		"no URL":                 {secrets.AWSOptions{Endpoint: "://valueCanary"}, "must be a URL"},
		"a host alone":           {secrets.AWSOptions{Endpoint: "aws.example.com"}, "must be a URL"},
		"no CA file":             {secrets.AWSOptions{CAFile: filepath.Join(dir, "none.pem")}, "none.pem"},
		"no certificate in it":   {secrets.AWSOptions{CAFile: filepath.Join(dir, "empty.pem")}, "there is no certificate in it"},
		"no such profile":        {secrets.AWSOptions{Lookup: awsOnly(nil, append(profile, "AWS_PROFILE=none")...)}, `no profile "none"`},
		"a broken file":          {secrets.AWSOptions{Lookup: awsOnly(nil, append(profile, "AWS_PROFILE=x", "AWS_SHARED_CREDENTIALS_FILE="+dir+"/broken")...)}, ""},
		"half a key":             {secrets.AWSOptions{Lookup: awsOnly(nil, append(profile, "AWS_PROFILE=half", "AWS_CONFIG_FILE="+dir+"/half")...)}, ""},
		"no profile for a role":  {secrets.AWSOptions{Lookup: awsOnly(nil, append(profile, "AWS_PROFILE=loop", "AWS_CONFIG_FILE="+dir+"/loop")...)}, ""},
		"a default that is none": {secrets.AWSOptions{Lookup: awsOnly(nil, "AWS_PROFILE=x")}, "x"},
	} {
		if c.o.Lookup == nil {
			c.o.Lookup = awsEnv()
		}
		_, err := secrets.NewAWS(t.Context(), c.o)
		if err == nil || !strings.HasPrefix(err.Error(), "aws: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to tell %q", name, err, c.says)
		}
		awsTellsNothing(t, fmt.Sprint(err))
	}
}

func TestAWSEndpoint(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	dir := t.TempDir()
	write(t, dir, "config", "[default]\nregion = eu-central-1\nendpoint_url = "+moto.Endpoint+"\n")
	nowhere := "AWS_ENDPOINT_URL=http://127.0.0.1:1"
	for name, o := range map[string]secrets.AWSOptions{
		"the option goes before the variables": {Endpoint: moto.Endpoint, Lookup: awsEnv(nowhere, "AWS_ENDPOINT_URL_SECRETS_MANAGER=http://127.0.0.1:1")},
		"the service's variable goes before":   {Lookup: awsEnv(nowhere, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+moto.Endpoint)},
		"the variable of all services":         {Lookup: awsEnv("AWS_ENDPOINT_URL=" + moto.Endpoint)},
		"the profile":                          {Lookup: awsEnv("AWS_CONFIG_FILE=" + dir + "/config")},
		"variables that are to be ignored":     {Endpoint: moto.Endpoint, Lookup: awsEnv(nowhere, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true")},
		"localhost by its name":                {Endpoint: strings.Replace(moto.Endpoint, "127.0.0.1", "localhost", 1)},
		"the region of another variable":       {Endpoint: moto.Endpoint, Lookup: awsEnv("AWS_REGION=", "AWS_DEFAULT_REGION=eu-central-1")},
		"the region of the profile":            {Lookup: awsEnv("AWS_REGION=", "AWS_CONFIG_FILE="+dir+"/config")},
		"the region of the option":             {Endpoint: moto.Endpoint, Region: "eu-central-1", Lookup: awsEnv("AWS_REGION=us-east-1")},
	} {
		if o.Lookup == nil {
			o.Lookup = awsEnv()
		}
		a, err := secrets.NewAWS(t.Context(), o)
		must(t, err)
		if _, err := a.Read(t.Context(), "a"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := newAWS(t, moto.Endpoint, func(o *secrets.AWSOptions) { o.Region = "us-east-1" }).Read(t.Context(), "a")
	isAWSError(t, err, secrets.ErrNotFound, "in the account and region")
}

// bareAWS takes away what this machine may have of AWS: the SDK looks
// at the process's own environment.
func bareAWS(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // to have it back
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_REGION", "eu-central-1")
}

// awsMetadata is a metadata service with credentials. It counts what it is asked.
func awsMetadata(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = io.WriteString(w, "token")
		case "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "role")
		default:
			_, _ = io.WriteString(w, containerKeys)
		}
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

const containerKeys = `{"Code":"Success","AccessKeyId":"AKIDROLE","SecretAccessKey":"` + awsKey + `","Token":"` + awsToken + `","Expiration":"2099-01-01T00:00:00Z"}`

func TestAWSWithoutCredentialsSaysSoAndAsksNoMetadata(t *testing.T) {
	bareAWS(t)
	server, asked := awsMetadata(t)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	for _, mode := range []string{"", "auto"} { // in which the SDK looks for its region there
		t.Setenv("AWS_DEFAULTS_MODE", mode)
		a, err := secrets.NewAWS(t.Context(), secrets.AWSOptions{})
		must(t, err)
		began := time.Now()
		_, err = a.Read(t.Context(), "a")
		isAWSError(t, err, secrets.ErrUnavailable, "there are no AWS credentials")
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the metadata service was asked %d times", n)
	}
	t.Setenv("AWS_CA_BUNDLE", t.TempDir()+"/none.pem")
	if _, err := secrets.NewAWS(t.Context(), secrets.AWSOptions{}); err == nil || !strings.Contains(err.Error(), "none.pem: no such file") {
		t.Errorf("without the file of AWS_CA_BUNDLE: %v", err)
	}
}

// Each way to credentials that the SDK has, by what arrives at the server.
func TestAWSCredentialsComeByTheDefaultChain(t *testing.T) {
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	role, _ := awsMetadata(t)
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Replace(containerKeys, "AKIDROLE", "AKIDBOX", 1))
	}))
	t.Cleanup(container.Close)
	dir := t.TempDir()
	write(t, dir, "token", "a.web.identity")
	file := func(key string) string {
		return "[default]\naws_access_key_id = " + key + "\naws_secret_access_key = " + awsKey + "\n"
	}
	write(t, dir, "credentials", file("AKIDFILE")+strings.Replace(file("AKIDNAMED"), "default", "named", 1))
	for name, c := range map[string]struct {
		env   []string
		probe bool
		key   string // how the key's name begins
	}{
		"the environment":       {env: []string{"AWS_ACCESS_KEY_ID=AKIDENV", "AWS_SECRET_ACCESS_KEY=" + awsKey}, key: "AKIDENV"},
		"the shared file":       {env: []string{"AWS_SHARED_CREDENTIALS_FILE=" + dir + "/credentials"}, key: "AKIDFILE"},
		"a profile of it":       {env: []string{"AWS_SHARED_CREDENTIALS_FILE=" + dir + "/credentials", "AWS_PROFILE=named"}, key: "AKIDNAMED"},
		"a web identity":        {env: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + dir + "/token", "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/r", "AWS_ENDPOINT_URL_STS=" + moto.Endpoint}, key: "ASIA"},
		"a container":           {env: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + container.URL}, key: "AKIDBOX"},
		"the instance metadata": {env: []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + role.URL}, probe: true, key: "AKIDROLE"},
	} {
		t.Run(name, func(t *testing.T) {
			bareAWS(t)
			for _, variable := range c.env {
				name, value, _ := strings.Cut(variable, "=")
				t.Setenv(name, value)
			}
			for _, lookup := range []func(string) (string, bool){nil, os.LookupEnv} {
				seen := ""
				path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
					seen = c.header.Get("Authorization")
					return nil
				})
				a, err := secrets.NewAWS(t.Context(), secrets.AWSOptions{Endpoint: path.URL, ProbeInstanceMetadata: c.probe, Lookup: lookup})
				must(t, err)
				if _, err := a.Read(t.Context(), "a"); err != nil || !strings.Contains(seen, "Credential="+c.key) {
					t.Errorf("%v; signed by %.60q, want %s", err, seen, c.key)
				}
			}
			configured, why := secrets.AWSConfigured(secrets.AWSOptions{})
			if configured == c.probe {
				t.Errorf("configured is %v: %s", configured, why)
			}
		})
	}
}

func TestAWSCredentialsThatCannotBeHadSayWhy(t *testing.T) {
	bareAWS(t)
	dir := t.TempDir()
	write(t, dir, "token", "a.web.identity")
	write(t, dir, "config", "[default]\ncredential_process = /bin/sh -c 'echo "+awsCanary+"; exit 1'\n")
	var followed atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(elsewhere.Close)
	identity := []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + dir + "/token", "AWS_ROLE_ARN=arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS=URL"}
	container := []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=URL"}
	fault := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, awsCanary)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // then the end of the connection is seen
		<-r.Context().Done()
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Token":"`+strings.Repeat(awsToken, 100000))
	}
	var reads sync.WaitGroup
	for name, c := range map[string]struct {
		env    []string
		answer http.HandlerFunc
		kind   error
		says   string
	}{
		"the role is denied":              {identity, fault(403, "AccessDenied"), secrets.ErrDenied, "AWS denies the role"},
		"the identity's token is refused": {identity, fault(400, "InvalidIdentityToken"), secrets.ErrDenied, "does not accept the identity token"},
		"the identity's token is too old": {identity, fault(400, "ExpiredTokenException"), secrets.ErrUnavailable, "has expired"},
		"STS is down":                     {identity, fault(503, "ServiceUnavailable"), secrets.ErrUnavailable, "cannot be had: AWS has a fault"},
		"STS is asked too often":          {identity, fault(400, "Throttling"), secrets.ErrUnavailable, "cannot be had: AWS throttles"},
		"STS hangs":                       {identity, hang, secrets.ErrUnavailable, "cannot be had: no answer in time"},
		"STS knows of no such thing":      {identity, fault(400, "ResourceNotFoundException"), secrets.ErrUnavailable, "cannot be had: "},
		"there is no token file":          {[]string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + dir + "/none", "AWS_ROLE_ARN=arn:aws:iam::1:role/r"}, nil, secrets.ErrUnavailable, "cannot be had"},
		"the container's service fails":   {container, fault(500, "x"), secrets.ErrUnavailable, "cannot be had"},
		"it redirects":                    {container, redirect, secrets.ErrUnavailable, "redirects, which is not followed"},
		"it is endless":                   {container, endless, secrets.ErrUnavailable, "larger than 1 MiB"},
		"STS is not to be asked safely":   {append(identity[:2:2], "AWS_ENDPOINT_URL_STS=http://sts.example.com"), nil, secrets.ErrUnavailable, "the endpoint is not https"},
		"there is no metadata service":    {[]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"}, nil, secrets.ErrUnavailable, "and none from the instance metadata"},
		"a program fails":                 {[]string{"AWS_CONFIG_FILE=" + dir + "/config"}, nil, secrets.ErrUnavailable, "cannot be had"},
	} {
		server := httptest.NewServer(c.answer)
		t.Cleanup(server.Close)
		for _, variable := range c.env {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, strings.Replace(value, "URL", server.URL, 1))
		}
		a, err := secrets.NewAWS(t.Context(), secrets.AWSOptions{ProbeInstanceMetadata: strings.HasSuffix(name, "metadata service")})
		must(t, err)
		for _, variable := range c.env { // it was taken in
			name, _, _ := strings.Cut(variable, "=")
			os.Unsetenv(name)
		}
		reads.Go(func() {
			began := time.Now()
			_, err := a.Read(t.Context(), "a")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			isAWSError(t, err, c.kind, "aws: read a: ")
			isAWSError(t, err, c.kind, c.says)
			if errors.Is(err, secrets.ErrThrottled) || errors.Is(err, secrets.ErrNotFound) {
				t.Errorf("%s: %v, which is of the secret", name, err)
			}
		})
	}
	reads.Wait()
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

// Other tools write new keys of a session into the file, which the SDK reads
// but once.
func TestAWSTakesUpNewKeysOfTheSharedFile(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	for name, fault := range map[string]*awsAnswer{
		"expired":   awsFault(400, "ExpiredTokenException", "The security token included in the request is expired"),
		"taken off": awsFault(400, "UnrecognizedClientException", "The security token included in the request is invalid."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			keys := func(id, secret string) {
				write(t, dir, "credentials", "[default]\naws_access_key_id = "+id+"\naws_secret_access_key = "+secret+"\n")
			}
			keys("AKIDOLD", awsOldKey)
			path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
				if strings.Contains(c.header.Get("Authorization"), "AKIDOLD") {
					return fault
				}
				return nil
			})
			a := newAWS(t, path.URL, func(o *secrets.AWSOptions) {
				o.Lookup = awsOnly(nil, "AWS_REGION=eu-central-1", "AWS_SHARED_CREDENTIALS_FILE="+dir+"/credentials")
			})
			_, err := a.Read(t.Context(), "a")
			if err == nil {
				t.Fatal("the old key is taken")
			}
			isAWSError(t, err, err, "aws: read a: ")
			keys("AKIDNEW", awsKey)
			for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
				if _, err := a.Read(t.Context(), "a"); err == nil {
					return
				}
				if time.Since(began) > 5*time.Second {
					t.Fatal("after 5 s the new key is not in use")
				}
			}
		})
	}
}

func TestAWSKeepsWhatItHasWhereNewKeysCannotBeLoaded(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	createAWS(t, moto, "a", "x")
	dir := t.TempDir()
	other := httptest.NewTLSServer(nil)
	t.Cleanup(other.Close)
	write(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})))
	path := startAWSPath(t, moto.Endpoint, nil)
	var log awsLog
	a := newAWS(t, path.URL, func(o *secrets.AWSOptions) {
		o.CAFile, o.Log = dir+"/ca.pem", slog.New(slog.NewTextHandler(&log, nil))
	})
	must(t, os.Remove(dir+"/ca.pem"))
	path.now(func(awsCall) *awsAnswer { return awsFault(http.StatusBadRequest, "ExpiredTokenException", "expired") })
	for began := time.Now(); log.String() == ""; time.Sleep(100 * time.Millisecond) {
		_, err := a.Read(t.Context(), "a")
		isAWSError(t, err, secrets.ErrUnavailable, "has expired")
		if time.Since(began) > 5*time.Second {
			t.Fatal("no new keys were looked for")
		}
	}
	path.now(nil)
	if _, err := a.Read(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	awsTellsNothing(t, log.String())
}

func TestAWSConfigured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "credentials", "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = "+awsKey+"\n[named]\naws_access_key_id = AKID\naws_secret_access_key = "+awsKey+"\n")
	write(t, dir, "config", "[default]\nregion = eu-central-1\n[profile box]\nregion = x\ncredential_source = EcsContainer\nrole_arn = arn:aws:iam::1:role/r\n"+
		"[profile machine]\ncredential_source = Ec2InstanceMetadata\nrole_arn = arn:aws:iam::1:role/r\n[profile tool]\ncredential_process = tool\n[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = eu-central-1\nsso_start_url = https://sso.example.com\n")
	write(t, dir, "home/.aws/config", "[default]\nregion = eu-central-1\n")
	write(t, dir, "home/.aws/credentials", "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = "+awsKey+"\n")
	const region = "AWS_REGION=eu-central-1"
	shared := []string{"AWS_CONFIG_FILE=" + dir + "/config", "AWS_SHARED_CREDENTIALS_FILE=" + dir + "/credentials"}
	only := func(more ...string) []string {
		return append([]string{region, "AWS_CONFIG_FILE=" + dir + "/config"}, more...)
	}
	for name, c := range map[string]struct {
		env  []string
		o    secrets.AWSOptions
		want bool
		says string
	}{
		"nothing":                     {nil, secrets.AWSOptions{}, false, "no AWS region"},
		"a region":                    {[]string{region}, secrets.AWSOptions{}, false, "no AWS credentials"},
		"a region and a key":          {[]string{region, "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=" + awsKey}, secrets.AWSOptions{}, true, "AWS_ACCESS_KEY_ID"},
		"a region and half a key":     {[]string{region, "AWS_ACCESS_KEY_ID=AKID"}, secrets.AWSOptions{}, false, "no AWS credentials"},
		"a key":                       {[]string{"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=" + awsKey}, secrets.AWSOptions{}, false, "no AWS region"},
		"a key, the region an option": {[]string{"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=" + awsKey}, secrets.AWSOptions{Region: "eu-central-1"}, true, "AWS_ACCESS_KEY_ID"},
		"the other variable":          {[]string{"AWS_DEFAULT_REGION=x", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=" + awsKey}, secrets.AWSOptions{}, true, "AWS_ACCESS_KEY_ID"},
		"a web identity":              {[]string{region, "AWS_WEB_IDENTITY_TOKEN_FILE=/x", "AWS_ROLE_ARN=y"}, secrets.AWSOptions{}, true, "AWS_WEB_IDENTITY_TOKEN_FILE"},
		"a task":                      {[]string{region, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x"}, secrets.AWSOptions{}, true, "container"},
		"a pod":                       {[]string{region, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/x"}, secrets.AWSOptions{}, true, "container"},
		"the shared files":            {shared, secrets.AWSOptions{}, true, "the profile default"},
		"those at home":               {[]string{"HOME=" + dir + "/home"}, secrets.AWSOptions{}, true, "the profile default"},
		"a profile without region":    {append([]string{"AWS_PROFILE=named"}, shared...), secrets.AWSOptions{}, false, "no AWS region"},
		"a profile with a program":    {only("AWS_PROFILE=tool"), secrets.AWSOptions{}, true, "the profile tool"},
		"a profile of a task":         {only("AWS_PROFILE=box"), secrets.AWSOptions{}, true, "the profile box"},
		"a profile with a sign-in":    {only("AWS_PROFILE=sso"), secrets.AWSOptions{}, true, "the profile sso"},
		"one of the machine":          {only("AWS_PROFILE=machine"), secrets.AWSOptions{}, false, "say backend: aws"},
		"one that is not there":       {only("AWS_PROFILE=none"), secrets.AWSOptions{}, true, "profile none"}, // and NewAWS says what is wrong
	} {
		c.o.Lookup = awsOnly(nil, c.env...)
		got, why := secrets.AWSConfigured(c.o)
		if got != c.want || !strings.Contains(why, c.says) {
			t.Errorf("%s: %v: %s; want %v, telling %q", name, got, why, c.want, c.says)
		}
		awsTellsNothing(t, why)
	}
}
