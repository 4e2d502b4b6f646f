package secrets

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// maxAWSBatch is how many secrets AWS reads in one call.
const maxAWSBatch = 20

// ReadMany reads the secrets at paths, twenty a call. One that fails in a call
// is read alone, so that what it fails with does not depend on the others; so
// are all where the policy does not allow secretsmanager:BatchGetSecretValue,
// which is remembered.
func (a *AWS) ReadMany(ctx context.Context, paths []string) []Result {
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	results := make([]Result, len(paths))
	byID := make(map[string]*awsRead)
	var reads []*awsRead // in the order of paths, each secret once
	for i, path := range paths {
		id, err := a.id(awsCall{"read", path, "GetSecretValue"})
		if err != nil {
			results[i].Err = err
			continue
		}
		if byID[id] == nil {
			byID[id] = &awsRead{id: id, path: path}
			reads = append(reads, byID[id])
		}
		byID[id].places = append(byID[id].places, i)
	}
	slots := make(chan struct{}, atOnce)
	var batches sync.WaitGroup
	for batch := range slices.Chunk(reads, maxAWSBatch) {
		batches.Go(func() { a.readBatch(ctx, batch, slots) })
	}
	batches.Wait()
	for _, r := range reads {
		for _, i := range r.places {
			results[i] = r.result
		}
	}
	return results
}

// awsRead is one secret that is read together with others.
type awsRead struct {
	id, path string
	places   []int // in the list of paths
	done     bool
	result   Result
}

// readBatch reads each secret of batch. It holds one of slots during each call.
func (a *AWS) readBatch(ctx context.Context, batch []*awsRead, slots chan struct{}) {
	var refused error
	if len(batch) > 1 && !a.single.Load() {
		slots <- struct{}{}
		refused = a.askBatch(ctx, batch)
		<-slots
	}
	var rest sync.WaitGroup
	for _, r := range batch {
		if r.done {
			continue
		}
		rest.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r.result.Document, r.result.Err = a.Read(ctx, r.path)
		})
	}
	rest.Wait()
	if refused == nil {
		return
	}
	// Only if the policy still allows to read them: else it was withdrawn, and
	// may come back.
	some := slices.ContainsFunc(batch, func(r *awsRead) bool { return r.result.Err == nil })
	if some && !a.single.Swap(true) {
		a.log.Info("AWS secrets are read one by one from now on: the policy does not allow batches", "error", refused)
	}
}

// askBatch reads what it can of batch in one go. It returns an error if the
// policy does not allow that.
func (a *AWS) askBatch(ctx context.Context, batch []*awsRead) (refused error) {
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, r := range batch {
		in.SecretIdList = append(in.SecretIdList, r.id)
	}
	for range batch { // an answer that is too long comes in parts
		var out *secretsmanager.BatchGetSecretValueOutput
		failed := a.do(ctx, awsCall{"read", "", "BatchGetSecretValue"}, func(ctx context.Context, client *secretsmanager.Client) (err error) {
			out, err = client.BatchGetSecretValue(ctx, in)
			return err
		})
		if failed != nil {
			return failBatch(batch, failed)
		}
		for _, value := range out.SecretValues {
			take(batch, value)
		}
		if aws.ToString(out.NextToken) == "" {
			return nil
		}
		in.NextToken = out.NextToken
	}
	return nil
}

// failBatch takes in that a call has failed. What one secret may have brought
// upon the others leaves them to be read alone; all else would only happen
// again. It returns an error if the policy does not allow batches.
func failBatch(batch []*awsRead, failed *awsError) (refused error) {
	if failed.code != "" && !failed.login && !isOutage(failed) || failed.text == awsTooLarge {
		if errors.Is(failed, ErrDenied) {
			return failed
		}
		return nil
	}
	for _, r := range batch {
		if !r.done {
			r.done, r.result.Err = true, &awsError{awsCall{"read", r.path, "GetSecretValue"}, failed.awsMeaning, failed.code}
		}
	}
	return nil
}

// take gives a value to the reads that it answers. AWS tells the name
// and the whole ARN, and a part of the ARN may have been asked for.
func take(batch []*awsRead, value types.SecretValueEntry) {
	name, arn := aws.ToString(value.Name), aws.ToString(value.ARN)
	for _, r := range batch {
		if r.done || r.id != name && r.id != arn && !isPartOfARN(r.id, arn) {
			continue
		}
		doc, err := awsDocument(awsCall{"read", r.path, "GetSecretValue"}, value.SecretString, value.SecretBinary)
		if err == nil {
			r.done, r.result.Document = true, doc
		}
	}
}

// isPartOfARN reports whether id is arn without the hyphen and the six
// characters that AWS puts after the name.
func isPartOfARN(id, arn string) bool {
	return len(arn) == len(id)+7 && arn[:len(id)] == id && arn[len(id)] == '-'
}
