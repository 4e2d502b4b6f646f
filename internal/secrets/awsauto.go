package secrets

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// AWSConfigured reports whether a region and credentials are configured, and
// says by what, or what is missing. It looks at the options, the environment and
// the profile, and asks nobody: credentials that only the instance metadata
// could give do not count.
//
// A profile that is named, or there, and cannot be used counts as configured:
// NewAWS then says what is wrong with it, where a silent "no" would let secrets
// be looked for elsewhere.
func AWSConfigured(o AWSOptions) (configured bool, why string) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	profile, shared, err := o.sharedConfig()
	region := cmp.Or(o.Region, o.get("AWS_REGION"), o.get("AWS_DEFAULT_REGION"), shared.Region)
	if region == "" && err == nil {
		return false, "there is no AWS region: neither secrets.aws.region nor AWS_REGION is set"
	}
	_, keys := o.keys()
	switch {
	case keys:
		return true, "an AWS region is configured, and AWS_ACCESS_KEY_ID is set"
	case o.get("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return true, "an AWS region is configured, and AWS_WEB_IDENTITY_TOKEN_FILE is set"
	case err != nil:
		return true, "there is an AWS profile " + profile
	case hasCredentials(shared):
		return true, "an AWS region is configured, and the profile " + profile + " has credentials"
	case o.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "", o.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return true, "an AWS region is configured, and the container has AWS credentials"
	}
	return false, "there are no AWS credentials: none in the environment, the profile, a web identity or a container (instance metadata is not asked: say backend: aws)"
}

// sharedConfig reads the profile. It is no error where none is named and there
// is no default.
func (o AWSOptions) sharedConfig() (profile string, shared config.SharedConfig, err error) {
	profile = cmp.Or(o.profile(), "default")
	shared, err = config.LoadSharedConfigProfile(context.Background(), profile, func(l *config.LoadSharedConfigOptions) {
		l.ConfigFiles = o.file("AWS_CONFIG_FILE", "config")
		l.CredentialsFiles = o.file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	})
	var missing config.SharedConfigProfileNotExistError
	if o.profile() == "" && (errors.As(err, &missing) || errors.Is(err, fs.ErrNotExist)) {
		err = nil
	}
	return profile, shared, err
}

// hasCredentials reports whether a profile says where credentials come from,
// other than from the instance metadata.
func hasCredentials(s config.SharedConfig) bool {
	if s.Source != nil {
		return hasCredentials(*s.Source)
	}
	if s.CredentialSource != "" {
		return s.CredentialSource != "Ec2InstanceMetadata"
	}
	return s.Credentials.HasKeys() || s.CredentialProcess != "" || s.WebIdentityTokenFile != "" ||
		s.SSOSessionName != "" || s.SSOStartURL != "" || s.LoginSession != ""
}

// get returns a variable, or "" where there is no lookup.
func (o AWSOptions) get(name string) string {
	if o.Lookup == nil {
		return ""
	}
	value, _ := o.Lookup(name)
	return value
}

// file returns the path of one of the shared files: none where there is no home.
func (o AWSOptions) file(variable, name string) []string {
	if path := o.get(variable); path != "" {
		return []string{path}
	}
	if home := o.get("HOME"); home != "" {
		return []string{filepath.Join(home, ".aws", name)}
	}
	return []string{}
}

// keys returns the key pair of the environment, by the names the SDK knows.
func (o AWSOptions) keys() (aws.Credentials, bool) {
	c := aws.Credentials{
		AccessKeyID:     cmp.Or(o.get("AWS_ACCESS_KEY_ID"), o.get("AWS_ACCESS_KEY")),
		SecretAccessKey: cmp.Or(o.get("AWS_SECRET_ACCESS_KEY"), o.get("AWS_SECRET_KEY")),
		SessionToken:    o.get("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	return c, c.HasKeys()
}

// profile is the one that is named.
func (o AWSOptions) profile() string {
	return cmp.Or(o.get("AWS_PROFILE"), o.get("AWS_DEFAULT_PROFILE"))
}
