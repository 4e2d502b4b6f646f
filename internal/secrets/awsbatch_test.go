package secrets_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/peertest"
	"github.com/sallyport/sallyport/internal/secrets"
)

// manyAWS creates n secrets and returns their names.
func manyAWS(t *testing.T, moto *peertest.MotoPeer, n int) []string {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("many/%02d", i)
		createAWS(t, moto, names[i], "value of "+names[i])
	}
	return names
}

// areReadByAWS fails unless each of names was read, in that order.
func areReadByAWS(t *testing.T, results []secrets.Result, names []string) {
	t.Helper()
	if len(results) != len(names) {
		t.Fatalf("%d results, want %d", len(results), len(names))
	}
	for i, r := range results {
		if r.Err != nil {
			t.Errorf("%s: %v", names[i], r.Err)
			continue
		}
		if got, err := r.Document.Field(""); err != nil || got.Reveal() != "value of "+names[i] {
			t.Errorf("%s is %q, %v", names[i], got.Reveal(), err)
		}
	}
}

func TestAWSReadsFortyFiveSecretsInThreeCalls(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, nil)
	names := manyAWS(t, moto, 45)
	a := newAWS(t, path.URL)
	areReadByAWS(t, a.ReadMany(t.Context(), names), names)
	if got := path.counts(); got != "BatchGetSecretValue:3" {
		t.Errorf("calls: %s", got)
	}
	path.now(nil)
	twice := slices.Concat(names[:5], names[:5])
	areReadByAWS(t, a.ReadMany(t.Context(), twice), twice)
	areReadByAWS(t, a.ReadMany(t.Context(), names[:1]), names[:1])
	if got := path.counts(); got != "BatchGetSecretValue:1 GetSecretValue:1" {
		t.Errorf("calls: %s", got)
	}
}

func TestAWSOneBadSecretSpoilsNoOther(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, nil)
	names := manyAWS(t, moto, 3)
	arn := createAWS(t, moto, "by-arn", "value of by-arn")
	createAWS(t, moto, "bytes", []byte("\xff\x00"))
	createAWS(t, moto, "gone", "x")
	moto.Do(t, "DeleteSecret", map[string]any{"SecretId": "gone"})
	a := newAWS(t, path.URL)
	results := a.ReadMany(t.Context(), []string{"none", names[0], "gone", names[1], "a b", names[2], arn, arn[:len(arn)-7], "bytes"})
	areReadByAWS(t, []secrets.Result{results[1], results[3], results[5]}, names)
	isAWSError(t, results[0].Err, secrets.ErrNotFound, "aws: read none: ")
	isAWSError(t, results[2].Err, secrets.ErrNotFound, "marked for deletion")
	isAWSError(t, results[4].Err, secrets.ErrInvalid, "aws: read a b: ")
	areReadByAWS(t, results[6:8], []string{"by-arn", "by-arn"})
	if got, err := results[8].Document.Field(""); err != nil || got.Reveal() != "\xff\x00" {
		t.Errorf("bytes are %q, %v", got.Reveal(), err)
	}
	if got := path.counts(); got != "BatchGetSecretValue:1 GetSecretValue:2" { // the two that failed, alone
		t.Errorf("calls: %s", got)
	}
}

// moto denies nobody, so the path to it does.
func TestAWSReadsOneByOneWhereThePolicyHasNoBatches(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		if c.action == "BatchGetSecretValue" {
			return awsFault(http.StatusBadRequest, "AccessDeniedException", "User is not authorized to perform: secretsmanager:BatchGetSecretValue")
		}
		return nil
	})
	names := manyAWS(t, moto, 25)
	var log bytes.Buffer
	a := newAWS(t, path.URL, func(o *secrets.AWSOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 3 {
		areReadByAWS(t, a.ReadMany(t.Context(), names), names)
	}
	if got := path.counts(); got != "BatchGetSecretValue:2 GetSecretValue:75" { // two at once, then never again
		t.Errorf("calls: %s", got)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "secretsmanager:BatchGetSecretValue") {
		t.Errorf("%d lines are logged: %s", n, &log)
	}
	awsTellsNothing(t, log.String())
}

func TestAWSWithdrawnPolicyThatComesBackIsUsedInFull(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	names := manyAWS(t, moto, 3)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		return awsFault(http.StatusBadRequest, "AccessDeniedException", "User is not authorized")
	})
	a := newAWS(t, path.URL)
	for _, r := range a.ReadMany(t.Context(), names) {
		isAWSError(t, r.Err, secrets.ErrDenied, "the policy must allow secretsmanager:GetSecretValue")
	}
	path.now(nil)
	areReadByAWS(t, a.ReadMany(t.Context(), names), names)
	if got := path.counts(); got != "BatchGetSecretValue:1" {
		t.Errorf("calls: %s", got)
	}
}

func TestAWSBatchThatIsDownIsNotReadOneByOne(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	names := manyAWS(t, moto, 20)
	path := startAWSPath(t, moto.Endpoint, func(awsCall) *awsAnswer {
		return awsFault(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	})
	for i, r := range newAWS(t, path.URL).ReadMany(t.Context(), names) {
		isAWSError(t, r.Err, secrets.ErrThrottled, "aws: read "+names[i]+": ")
	}
	if got := path.counts(); got != "BatchGetSecretValue:5" {
		t.Errorf("calls: %s", got)
	}
}

func TestAWSBatchThatCannotBeIsReadOneByOne(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	names := manyAWS(t, moto, 3)
	for name, answer := range map[string]*awsAnswer{
		"one of its names is refused": awsFault(400, "InvalidParameterException", "bad"),
		"one cannot be decrypted":     awsFault(400, "DecryptionFailure", "bad"),
		"it would be too long":        {status: 200, body: `{"SecretValues":[{"Name":"` + strings.Repeat("x", 2<<20) + `"}]}`},
		"it leaves all out":           {status: 200, body: `{"SecretValues":[],"Errors":[]}`},
		"it has a name, and no value": {status: 200, body: `{"SecretValues":[{"Name":"many/00"}]}`},
	} {
		path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
			if c.action == "BatchGetSecretValue" {
				return answer
			}
			return nil
		})
		areReadByAWS(t, newAWS(t, path.URL).ReadMany(t.Context(), names), names)
		if got := path.counts(); got != "BatchGetSecretValue:1 GetSecretValue:3" {
			t.Errorf("%s: calls: %s", name, got)
		}
	}
}

func TestAWSBatchInPartsIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	moto := peertest.Moto(t)
	path := startAWSPath(t, moto.Endpoint, func(c awsCall) *awsAnswer {
		name, next := "a", `,"NextToken":"more"`
		if c.body["NextToken"] == "more" {
			name, next = "b", ""
		}
		return &awsAnswer{status: 200, body: fmt.Sprintf(`{"SecretValues":[{"Name":%q,"SecretString":"value of %s"}]%s}`, name, name, next)}
	})
	areReadByAWS(t, newAWS(t, path.URL).ReadMany(t.Context(), []string{"a", "b"}), []string{"a", "b"})
	if got := path.counts(); got != "BatchGetSecretValue:2" {
		t.Errorf("calls: %s", got)
	}
}
