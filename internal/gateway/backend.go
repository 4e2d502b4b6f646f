package gateway

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
)

// SecretBackend opens the secret backend called name, or for "" the one that c
// names, and says why it is that one. A nil lookup is the process's environment.
// It chooses by what is configured and asks nobody: a backend that does not
// answer is an error of its reads.
func SecretBackend(c config.Secrets, name string, lookup func(string) (string, bool), log *slog.Logger) (b secrets.Backend, why string, err error) {
	choice, why := c.Backend, "the configuration names it"
	if name != "" {
		choice, why = config.Strings{name}, "it was asked for"
	}
	if len(choice) == 1 && choice[0] == "auto" {
		auto, because, err := autoBackend(lookup)
		if err != nil {
			return nil, "", err
		}
		choice, why = config.Strings{auto}, because // c is not ours to change
	}
	var list []secrets.Backend
	for _, name := range choice {
		b, err := openBackend(c, name, lookup, log)
		if err != nil {
			return nil, "", err
		}
		list = append(list, b)
	}
	return secrets.Chain(list...), why, nil
}

// autoBackend is what auto stands for, by what is configured.
func autoBackend(lookup func(string) (string, bool)) (name, why string, err error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	if address, _ := lookup("VAULT_ADDR"); address != "" {
		return "", "", fmt.Errorf("VAULT_ADDR is set, so auto means Vault, which is not supported in this version; write backend: env or backend: file")
	}
	return "env", "auto, and neither Vault nor AWS is configured", nil
}

func openBackend(c config.Secrets, name string, lookup func(string) (string, bool), log *slog.Logger) (secrets.Backend, error) {
	switch name {
	case "env":
		return secrets.NewEnv(c.Env.Prefix, lookup), nil
	case "file":
		return secrets.NewFile(c.File.Dir, log)
	}
	return nil, fmt.Errorf("backend %s is not supported in this version", name)
}
