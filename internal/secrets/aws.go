package secrets

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sallyport/sallyport/internal/telemetry"
)

// AWSOptions tune an AWS. The zero value takes all from the environment and the
// profile, as AWS's own tools do.
type AWSOptions struct {
	Region   string // "": AWS_REGION, AWS_DEFAULT_REGION, or that of the profile
	Endpoint string // "": AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_ENDPOINT_URL, that of the profile, or AWS's own
	Prefix   string // put, as it is, before names, but not before ARNs
	CAFile   string // certificates to be trusted in the place of the system's; "": AWS_CA_BUNDLE

	// AllowInsecureHTTP lets calls go out in the clear, beyond this machine too.
	AllowInsecureHTTP bool
	// ProbeInstanceMetadata looks for credentials at the metadata service of EC2
	// where there are none else. On other machines that takes seconds.
	ProbeInstanceMetadata bool

	Lookup func(string) (string, bool) // the environment; nil means the process's own
	Log    *slog.Logger                // nil means none
}

// AWS reads secrets from AWS Secrets Manager: the string or the bytes that are
// AWSCURRENT, and as fields the strings of the JSON object that they may be. A
// path is a name, or an ARN.
//
// Credentials come by the SDK's default chain, and are looked for anew when AWS
// does not take them any more.
type AWS struct {
	options AWSOptions
	log     *slog.Logger
	single  atomic.Bool // the policy does not allow batches

	mu        sync.Mutex
	client    *secretsmanager.Client
	connected time.Time
}

// awsReconnect is how long credentials are kept at least that do not work.
const awsReconnect = 2 * time.Second

// NewAWS returns an AWS, and asks nothing yet: credentials may come later. What
// is written wrong, and a region that is missing, are errors.
func NewAWS(ctx context.Context, o AWSOptions) (*AWS, error) {
	a := &AWS{options: o, log: o.Log, connected: time.Now()}
	a.log = telemetry.Discard(a.log)
	var err error
	if a.client, err = o.connect(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Name returns aws.
func (a *AWS) Name() string { return "aws" }

// Read returns the secret at path. One that is marked for deletion is not found.
func (a *AWS) Read(ctx context.Context, path string) (Document, error) {
	call := awsCall{"read", path, "GetSecretValue"}
	id, err := a.id(call)
	if err != nil {
		return nil, err
	}
	found, failed := a.get(ctx, call, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if failed != nil {
		return nil, failed
	}
	return awsDocument(call, found.SecretString, found.SecretBinary)
}

// get reads one version of one secret.
func (a *AWS) get(ctx context.Context, call awsCall, in *secretsmanager.GetSecretValueInput) (*secretsmanager.GetSecretValueOutput, *awsError) {
	var out *secretsmanager.GetSecretValueOutput
	failed := a.do(ctx, call, func(ctx context.Context, client *secretsmanager.Client) (err error) {
		out, err = client.GetSecretValue(ctx, in)
		return err
	})
	return out, failed
}

// awsDocument is what AWS keeps, which is either text or bytes. An answer with
// neither is no answer: one from AWS has the one or the other.
func awsDocument(call awsCall, text *string, bytes []byte) (Document, error) {
	switch {
	case text != nil:
		return Text("aws", call.path, NewSecret(*text)), nil
	case bytes != nil:
		return Text("aws", call.path, NewSecret(string(bytes))), nil
	}
	return nil, call.fails(ErrUnavailable, "the answer has no secret in it")
}

// id is how AWS knows the secret of the call.
func (a *AWS) id(call awsCall) (string, error) {
	if strings.HasPrefix(call.path, "arn:") {
		parts := strings.SplitN(call.path, ":", 7) // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-XXXXXX
		if len(parts) < 7 || parts[2] != "secretsmanager" || parts[5] != "secret" || !isAWSName(parts[6], 2048) {
			return "", call.fails(ErrInvalid, "the ARN is not one of a secret")
		}
		return call.path, nil
	}
	name := a.options.Prefix + call.path
	if !isAWSName(name, 512) {
		return "", call.fails(ErrInvalid, "a name has letters, digits and /_+=.@!- alone, at most 512 with its prefix")
	}
	return name, nil
}

// isAWSName reports whether there can be a secret of that name. Of a list with
// another one in it AWS reads nothing.
func isAWSName(name string, longest int) bool {
	return name != "" && len(name) <= longest && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune(awsNameRunes, r)
	})
}

const awsNameRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@!-"

// do makes a call, tried again for a while if that may help. Where AWS does not
// take the credentials, it is made once more with those that are there by then:
// the SDK reads a profile once, though other tools write new keys into it.
func (a *AWS) do(ctx context.Context, call awsCall, ask func(context.Context, *secretsmanager.Client) error) *awsError {
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	a.mu.Lock()
	client := a.client
	a.mu.Unlock()
	err := ask(ctx, client)
	if err == nil {
		return nil
	}
	failed := call.failed(err)
	if !failed.login {
		return failed
	}
	if client = a.reconnect(ctx, client); client == nil {
		return failed
	}
	if err = ask(ctx, client); err == nil {
		return nil
	}
	return call.failed(err)
}

// reconnect returns a client that is newer than old, or nil if there is none
// yet.
func (a *AWS) reconnect(ctx context.Context, old *secretsmanager.Client) *secretsmanager.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.client != old:
		return a.client
	case time.Since(a.connected) < awsReconnect:
		return nil
	}
	a.connected = time.Now()
	client, err := a.options.connect(ctx)
	if err != nil {
		a.log.Warn("AWS does not take the credentials, and new ones cannot be loaded", "error", err)
		return nil
	}
	a.client = client
	return client
}
