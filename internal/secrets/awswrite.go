package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	// maxAWSSecret is what Secrets Manager keeps of a secret, in bytes.
	maxAWSSecret = 65536
	// awsPage is how many names come in one call.
	awsPage = 100
)

// Set makes value the current version of the secret: the whole of it, which the
// last writer wins, or the one field of its JSON object. A secret that is not
// there is created. What was current before stays readable as AWSPREVIOUS.
//
// Secrets Manager cannot compare before it sets. So that two that set fields at
// the same time do not lose each other's, a new version is named after the one
// it was made from, and AWS takes no second one of a name: the later of the two
// gets [ErrConflict]. A writer of another kind, such as a rotation, may still
// come between; that is noticed afterwards, and also an ErrConflict.
func (a *AWS) Set(ctx context.Context, ref Reference, value Secret) error {
	call := awsCall{"set", ref.String(), "PutSecretValue"}
	id, err := a.id(awsCall{call.verb, ref.Path, call.action})
	if err != nil {
		return err
	}
	if value.Empty() {
		return call.fails(ErrEmpty, "an empty value is never stored")
	}
	if ref.Field != "" {
		return a.succeed(ctx, call, id, ref, value, nil)
	}
	in := &secretsmanager.PutSecretValueInput{SecretId: &id}
	if in.SecretString, in.SecretBinary = awsValue(value); len(value.Reveal()) > maxAWSSecret {
		return call.fails(ErrInvalid, fmt.Sprintf("the value is longer than %d bytes", maxAWSSecret))
	}
	_, failed := a.put(ctx, call, in)
	if failed != nil && failed.code == "ResourceNotFoundException" {
		return a.create(ctx, call, id, value)
	}
	return orNil(failed)
}

// Swap implements [Swapper], as Set sets a field.
func (a *AWS) Swap(ctx context.Context, ref Reference, old, value Secret) error {
	call := awsCall{"swap", ref.String(), "PutSecretValue"}
	id, err := a.id(awsCall{call.verb, ref.Path, call.action})
	if err != nil {
		return err
	}
	if value.Empty() {
		return call.fails(ErrEmpty, "an empty value is never stored")
	}
	return a.succeed(ctx, call, id, ref, value, &old)
}

// orNil keeps a nil from becoming an error that is not nil.
func orNil(failed *awsError) error {
	if failed == nil {
		return nil
	}
	return failed
}

// awsValue is the value as AWS keeps it: as text if it is text.
func awsValue(value Secret) (text *string, bytes []byte) {
	if v := value.Reveal(); utf8.ValidString(v) {
		return &v, nil
	}
	return nil, []byte(value.Reveal())
}

// put stores a new version, and returns its name.
func (a *AWS) put(ctx context.Context, call awsCall, in *secretsmanager.PutSecretValueInput) (version string, failed *awsError) {
	failed = a.do(ctx, call, func(ctx context.Context, client *secretsmanager.Client) error {
		out, err := client.PutSecretValue(ctx, in)
		if err == nil {
			version = aws.ToString(out.VersionId)
		}
		return err
	})
	return version, failed
}

// create makes a secret of that name, unless another just has.
func (a *AWS) create(ctx context.Context, call awsCall, id string, value Secret) error {
	call.action = "CreateSecret"
	if strings.HasPrefix(id, "arn:") {
		return call.fails(ErrNotFound, "there is no secret of that ARN, and one is created by a name alone")
	}
	in := &secretsmanager.CreateSecretInput{Name: &id}
	in.SecretString, in.SecretBinary = awsValue(value)
	return orNil(a.do(ctx, call, func(ctx context.Context, client *secretsmanager.Client) error {
		_, err := client.CreateSecret(ctx, in)
		return err
	}))
}

// succeed makes value, or the document with value in its field, the version
// after the current one; if old is given, only while that is what is current.
func (a *AWS) succeed(ctx context.Context, call awsCall, id string, ref Reference, value Secret, old *Secret) error {
	read := awsCall{call.verb, call.path, "GetSecretValue"}
	held, failed := a.get(ctx, read, &secretsmanager.GetSecretValueInput{SecretId: &id})
	there := failed == nil
	switch {
	case failed != nil && failed.code != "ResourceNotFoundException":
		return failed
	case there && held.SecretString == nil:
		return call.fails(ErrInvalid, "what stands there is no text, and so has no fields")
	}
	content, err := rewritten(held, there, ref, value, old)
	switch {
	case err != nil:
		return fmt.Errorf("aws: %s %s: %w", call.verb, call.path, err)
	case len(content) > maxAWSSecret:
		return call.fails(ErrInvalid, fmt.Sprintf("the value, with its other fields, is longer than %d bytes", maxAWSSecret))
	case !there:
		return a.create(ctx, call, id, NewSecret(content))
	}
	return a.replace(ctx, call, id, held, content)
}

// rewritten is what the secret is to hold.
func rewritten(held *secretsmanager.GetSecretValueOutput, there bool, ref Reference, value Secret, old *Secret) (string, error) {
	text := "{}"
	if there {
		text = *held.SecretString
	}
	if old != nil {
		current := Secret{}
		if there {
			var err error
			current, err = Text("aws", ref.Path, NewSecret(text)).Field(ref.Field)
			if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrEmpty) {
				return "", err
			}
		}
		if err := expected(*old, current); err != nil {
			return "", err
		}
	}
	if ref.Field == "" {
		return value.Reveal(), nil
	}
	object, err := withField([]byte(text), ref.Field, value)
	return string(object), err
}

// replace puts text in the place of the version old.
func (a *AWS) replace(ctx context.Context, call awsCall, id string, old *secretsmanager.GetSecretValueOutput, text string) error {
	arn, before := aws.ToString(old.ARN), aws.ToString(old.VersionId)
	in := &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &text, ClientRequestToken: aws.String(successor(arn, before))}
	version, failed := a.put(ctx, call, in)
	if failed != nil && failed.code == "ResourceExistsException" {
		// There is a successor already. If old is current all the same, then it
		// was made so again since, and may have another.
		now, lost := a.get(ctx, call, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if lost != nil || aws.ToString(now.VersionId) != before {
			return failed
		}
		in.ClientRequestToken = nil // the SDK makes one up
		version, failed = a.put(ctx, call, in)
	}
	if failed != nil {
		return failed
	}
	return a.followed(ctx, call, id, arn, before, version)
}

// successor is the name of the version that is made from another: 64 characters
// of those that AWS takes.
func successor(arn, version string) string {
	sum := sha256.Sum256([]byte("sallyport\x00" + arn + "\x00" + version))
	return hex.EncodeToString(sum[:])
}

// followed looks whether the new version has taken the place of the one before
// and not of one that came between. AWS may show what it has a moment late.
func (a *AWS) followed(ctx context.Context, call awsCall, id, arn, before, version string) error {
	read := awsCall{call.verb, call.path, "GetSecretValue"}
	for try := range 3 {
		if try > 0 {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		previous, failed := a.get(ctx, read, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: aws.String("AWSPREVIOUS")})
		if failed != nil {
			continue
		}
		was := aws.ToString(previous.VersionId)
		if was == before {
			return nil
		}
		for made, n := version, 0; n < 20; made, n = successor(arn, made), n+1 {
			if was == made { // others have already built upon the new one
				return nil
			}
		}
	}
	return call.fails(ErrConflict, "it is set, but another version seems to have come between, which now is AWSPREVIOUS: look whether something of it is missing")
}

// List returns the names that the pattern fits, without the prefix. What is
// marked for deletion is not among them.
func (a *AWS) List(ctx context.Context, pattern string) ([]string, error) {
	call := awsCall{"list", pattern, "ListSecrets"}
	in := &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(awsPage)}
	literal, _, _ := strings.Cut(a.options.Prefix+pattern, "*")
	switch {
	case literal == "" || literal[0] == '!': // which would say "not"
	case !isAWSName(literal, 512):
		return nil, nil // there can be none
	default:
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{literal}}}
	}
	var found []string
	for range 2 * maxNames / awsPage { // a page may hold less than it could
		var out *secretsmanager.ListSecretsOutput
		failed := a.do(ctx, call, func(ctx context.Context, client *secretsmanager.Client) (err error) {
			out, err = client.ListSecrets(ctx, in)
			return err
		})
		if failed != nil {
			return nil, failed
		}
		for _, entry := range out.SecretList {
			name, ours := strings.CutPrefix(aws.ToString(entry.Name), a.options.Prefix)
			if ours && name != "" && fits(pattern, name) {
				found = append(found, name)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			found, err := names(found)
			if err != nil {
				return nil, fmt.Errorf("aws: list %s: %w", pattern, err)
			}
			return found, nil
		}
		if len(found) > maxNames {
			break
		}
	}
	return nil, fmt.Errorf("aws: list %s: %w", pattern, errTooManyNames())
}
