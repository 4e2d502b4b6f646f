package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
)

// SecretBackend opens the secret backend called name, or for "" the one that cfg
// names, and says why it is that one. A nil lookup is the process's environment.
// It chooses by what is configured and asks nobody: a backend that does not
// answer is an error of its reads.
func SecretBackend(ctx context.Context, cfg *config.Config, name string, lookup func(string) (string, bool), log *slog.Logger) (b secrets.Backend, why string, err error) {
	o := opener{cfg.Secrets, cfg.AllowInsecureHTTP, true, lookup, log}
	choice, why := cfg.Secrets.Backend, "the configuration names it"
	if name != "" {
		choice, why = config.Strings{name}, "it was asked for"
	}
	if len(choice) == 1 && choice[0] == "auto" {
		auto, because := o.auto()
		o.named = false
		choice, why = config.Strings{auto}, because // cfg is not ours to change
	}
	var list []secrets.Backend
	for _, name := range choice {
		b, err := o.open(ctx, name)
		if err != nil {
			return nil, "", err
		}
		list = append(list, b)
	}
	return secrets.Chain(list...), why, nil
}

// opener opens backends by one configuration.
type opener struct {
	config       config.Secrets
	insecureHTTP bool
	named        bool // by the operator, not found by auto
	lookup       func(string) (string, bool)
	log          *slog.Logger
}

// auto is what auto stands for, by what is configured: Vault, then AWS, then the
// environment (CONTRACT 5). Nobody is asked: what is configured and does not
// answer is an error of its reads, never a step down.
func (o opener) auto() (name, why string) {
	lookup := o.lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	if address, _ := lookup("VAULT_ADDR"); address != "" {
		return "vault", "auto, and VAULT_ADDR is set"
	}
	if o.config.Vault.Address != "" {
		return "vault", "auto, and secrets.vault.address is set"
	}
	if configured, why := secrets.AWSConfigured(o.aws()); configured {
		return "aws", "auto, and " + why
	}
	return "env", "auto, and neither Vault nor AWS is configured"
}

func (o opener) aws() secrets.AWSOptions {
	c := o.config.AWS
	return secrets.AWSOptions{
		Region: c.Region, Endpoint: c.Endpoint, Prefix: c.Prefix, CAFile: c.TLS.CAFile,
		AllowInsecureHTTP: o.insecureHTTP, Lookup: o.lookup, Log: o.log,
	}
}

func (o opener) open(ctx context.Context, name string) (secrets.Backend, error) {
	c := o.config
	switch name {
	case "env":
		return secrets.NewEnv(c.Env.Prefix, o.lookup), nil
	case "file":
		return secrets.NewFile(c.File.Dir, o.log)
	case "vault":
		return secrets.NewVault(secrets.VaultOptions{
			Address: c.Vault.Address, Namespace: c.Vault.Namespace, Mount: c.Vault.Mount, KVVersion: c.Vault.KVVersion,
			Auth: secrets.VaultAuth{
				Method: c.Vault.Auth.Method, Mount: c.Vault.Auth.Mount, TokenFile: c.Vault.Auth.TokenFile, RoleID: c.Vault.Auth.RoleID,
				SecretIDFile: c.Vault.Auth.SecretIDFile, Role: c.Vault.Auth.Role, JWTFile: c.Vault.Auth.JWTFile,
			},
			CAFile: c.Vault.TLS.CAFile, CertFile: c.Vault.TLS.CertFile, KeyFile: c.Vault.TLS.KeyFile,
			AllowInsecureHTTP: o.insecureHTTP, Lookup: o.lookup, Log: o.log,
		})
	case "aws":
		options := o.aws()
		options.ProbeInstanceMetadata = o.named
		return secrets.NewAWS(ctx, options)
	}
	return nil, fmt.Errorf("there is no backend %s", name)
}
