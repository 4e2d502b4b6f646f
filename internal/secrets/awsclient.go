package secrets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// awsTimeout bounds a call with all its tries. It is a little less than the
	// Store waits, so that the Store hears why.
	awsTimeout = 4500 * time.Millisecond
	// awsTries, after waits of at most 200, 400, 800 and 1600 ms.
	awsTries, awsFirstWait = 5, 200 * time.Millisecond
	// maxAWSAnswer bounds an answer, in bytes. A secret has at most 64 KiB.
	maxAWSAnswer = 1 << 20
)

// connect makes a client by what is configured now: profiles and keys are read
// anew. Its errors quote nothing of those files.
func (o AWSOptions) connect(ctx context.Context) (*secretsmanager.Client, error) {
	client := o.httpClient()
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		// Not the SDK's own: its bucket of tokens runs dry in an outage, when it
		// gives up without waiting, and in adaptive mode never fills again.
		config.WithRetryer(func() aws.Retryer { return newAWSRetryer() }),
		config.WithAPIOptions([]func(*middleware.Stack) error{boundAWSAnswers}),
		config.WithEndpointCredentialOptions(func(e *endpointcreds.Options) { e.HTTPClient = client }),
		config.WithLogger(logging.Nop{}),
	}
	if !o.ProbeInstanceMetadata {
		options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("aws: CA file: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("aws: CA file %s: there is no certificate in it", o.CAFile)
		}
		options = append(options, config.WithCustomCABundle(bytes.NewReader(pem)))
	}
	c, err := config.LoadDefaultConfig(ctx, append(options, o.environment()...)...)
	if err != nil {
		return nil, faultOfAWSConfig(err)
	}
	if c.Region == "" {
		return nil, errors.New("aws: no region: set secrets.aws.region, AWS_REGION or the region of the profile")
	}
	if strings.Trim(c.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" { // it goes into a host name
		return nil, errors.New("aws: the region must be one like eu-central-1")
	}
	source := c.Credentials
	c.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		found, err := source.Retrieve(ctx)
		if err != nil {
			err = &noCredentials{err: err, probed: o.ProbeInstanceMetadata}
		}
		return found, err
	})
	made := secretsmanager.NewFromConfig(c, func(s *secretsmanager.Options) {
		if endpoint := o.endpoint(); endpoint != "" {
			s.BaseEndpoint = &endpoint
		}
	})
	if endpoint := made.Options().BaseEndpoint; endpoint != nil {
		if err := o.checkEndpoint(*endpoint); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// environment hands the SDK what the lookup has, for it looks at the process's
// own environment only.
func (o AWSOptions) environment() []func(*config.LoadOptions) error {
	var options []func(*config.LoadOptions) error
	if region := cmp.Or(o.Region, o.get("AWS_REGION"), o.get("AWS_DEFAULT_REGION")); region != "" {
		options = append(options, config.WithRegion(region))
	}
	if o.Lookup != nil {
		options = append(options, config.WithSharedConfigFiles(o.file("AWS_CONFIG_FILE", "config")),
			config.WithSharedCredentialsFiles(o.file("AWS_SHARED_CREDENTIALS_FILE", "credentials")))
	}
	if keys, ok := o.keys(); ok {
		return append(options, config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) { return keys, nil })))
	}
	// A profile named to the SDK goes before a web identity, one in the
	// environment after it.
	if profile := o.profile(); profile != "" && o.get("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	return options
}

// endpoint is what was said of it here and in the environment.
func (o AWSOptions) endpoint() string {
	if o.Endpoint != "" || strings.EqualFold(o.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return o.Endpoint
	}
	return cmp.Or(o.get("AWS_ENDPOINT_URL_SECRETS_MANAGER"), o.get("AWS_ENDPOINT_URL"))
}

// faultOfAWSConfig keeps the kind of an error of the SDK, whose text may quote
// lines of a file with keys.
func faultOfAWSConfig(err error) error {
	var missing config.SharedConfigProfileNotExistError
	var file *os.PathError
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("aws: there is no profile %q in the shared configuration", missing.Profile)
	case errors.As(err, &file):
		return fmt.Errorf("aws: %w", file)
	}
	return errors.New("aws: what the AWS_ variables and the profile say cannot be used: keys that are half there, or a role without what it needs")
}

// checkEndpoint wants https, or a server on this machine. It quotes nothing of
// the URL, in which there may be a password.
func (o AWSOptions) checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	fault := ""
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		fault = "must be a URL such as https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		fault = "must be a URL without user, query and fragment"
	case !o.safe(u):
		fault = "must be https, for secrets go over it; http only on loopback, or with allow_insecure_http"
	default:
		return nil
	}
	return errors.New("aws: the endpoint " + fault)
}

// safe reports whether nobody on the way can read a request to u.
func (o AWSOptions) safe(u *url.URL) bool {
	if u.Scheme == "https" || o.AllowInsecureHTTP || strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}

// httpClient returns the client of all calls, also of those for credentials: on
// these the SDK sets no time limit, and one that hangs holds up all who wait.
func (o AWSOptions) httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(awsTimeout).WithTransportOptions(func(t *http.Transport) {
		t.Proxy = o.route
		t.IdleConnTimeout = 30 * time.Second
		// A connection of HTTP/2 that has died silently is used on for minutes.
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	})
}

// route picks the proxy. It sees each request before a connection is made, and
// so it is here that a redirect is not followed, with the credentials and the
// secret it would carry, and that nothing goes out in the clear. The machine's
// or container's own metadata service speaks http only, and is not behind a
// proxy.
func (o AWSOptions) route(r *http.Request) (*url.URL, error) {
	addr, err := netip.ParseAddr(r.URL.Hostname())
	metadata := err == nil && (addr.Unmap().IsLinkLocalUnicast() || netip.MustParsePrefix("fd00:ec2::/32").Contains(addr))
	switch {
	case r.Response != nil: // the redirect that has led here
		return nil, &awsRefusal{"the endpoint redirects, which is not followed"}
	case metadata:
		return nil, nil
	case !o.safe(r.URL):
		return nil, &awsRefusal{"the endpoint is not https"}
	}
	return http.ProxyFromEnvironment(r)
}

// awsRefusal is a call that is not made, or not read to its end, and not tried
// again.
type awsRefusal struct{ text string }

func (r *awsRefusal) Error() string { return r.text }

const awsTooLarge = "the answer is larger than 1 MiB"

// RetryableError tells the SDK's retryer.
func (r *awsRefusal) RetryableError() bool { return false }

// boundAWSAnswers bounds the answers that the SDK reads into memory.
func boundAWSAnswers(stack *middleware.Stack) error {
	bound := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
		out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
	) {
		out, metadata, err = next.HandleDeserialize(ctx, in)
		if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && answer.Response != nil && answer.Body != nil {
			answer.Body = &boundedBody{ReadCloser: answer.Body, left: maxAWSAnswer}
		}
		return out, metadata, err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("BoundAnswer", bound), middleware.After)
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &awsRefusal{awsTooLarge}
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	b.left -= n
	return n, err
}

// awsRetryer tries again as the SDK does, but within the time there is.
type awsRetryer struct{ *retry.Standard }

func newAWSRetryer() awsRetryer {
	return awsRetryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = awsTries
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			most := awsFirstWait << min(attempt-1, awsTries-2)
			return most/2 + rand.N(most/2), nil
		})
	})}
}

// GetRetryToken ends the tries where there is no time for one more, while it is
// still known what the last one failed with.
func (r awsRetryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < awsFirstWait<<(awsTries-2) {
		return nil, errors.New("no time for another try")
	}
	return r.Standard.GetRetryToken(ctx, err)
}
