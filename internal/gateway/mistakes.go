package gateway

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/policy"
	"github.com/sallyport/sallyport/internal/proxy"
	"github.com/sallyport/sallyport/internal/secrets"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// Mistakes looks for what [Validate] would find in the draft of a configuration
// that has mistakes already, so that all are told at once: in the expressions of
// routes, and unless offline among the secrets in use.
func Mistakes(ctx context.Context, draft *config.Config, o Options, offline bool) config.Errors {
	b := &builder{generation: &generation{config: draft, Gateway: &Gateway{options: o, log: telemetry.Discard(o.Log)}}}
	for i, r := range draft.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		if r.Auth.Allow != "" && draft.Sound(key+".auth.allow") && draft.Sound(key+".path") {
			_, err := policy.New(policy.Options{Allow: string(r.Auth.Allow), Params: proxy.Parameters(r.Path)})
			b.failRoute(i, err)
		}
	}
	if !offline && draft.Sound("secrets") && draft.Sound("allow_insecure_http") {
		b.lookAtSecrets(ctx)
	}
	return b.wrong
}

// lookAtSecrets reads every secret in use once.
func (b *builder) lookAtSecrets(ctx context.Context) {
	backend, _, err := SecretBackend(ctx, b.config, "", b.options.LookupEnv, b.log)
	if err != nil {
		b.fail("secrets.backend", err)
		return
	}
	read := secrets.NewStore(backend, secrets.Options{Log: b.log})
	b.generation.scope = read.Scope()
	for _, use := range b.config.SecretUses() {
		if use.Used {
			b.generation.scope.Watch(secrets.Reference{Path: use.Path, Field: use.Field})
		}
	}
	if err := read.Fetch(ctx); err != nil {
		b.log.Debug("secrets not to be had", "error", err)
	}
	b.wrong = append(b.wrong, b.missingSecrets()...)
}

// InOrder sorts mistakes by their place in the file.
func InOrder(list config.Errors) config.Errors { return inOrder(list) }
