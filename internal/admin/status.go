package admin

import (
	"time"

	"github.com/sallyport/sallyport/internal/crypto"
)

// Status is the answer of GET /api/v1/status: how everything stands, and no
// value of a secret or token.
type Status struct {
	Version     Version            `json:"version"`
	Status      State              `json:"status"`
	Started     time.Time          `json:"started"`
	Uptime      float64            `json:"uptime_seconds"`
	Config      ConfigStatus       `json:"config"`
	Routes      []RouteStatus      `json:"routes"`
	Issuers     []IssuerStatus     `json:"issuers"`
	Credentials []CredentialStatus `json:"credentials"`
	Secrets     SecretsStatus      `json:"secrets"`
	Keyrings    []KeyringStatus    `json:"keyrings"`
	Audit       *AuditStatus       `json:"audit,omitempty"` // nil: there is no audit log
}

// Version tells which build this is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// KeyringStatus tells how a keyring stands, and never a key of it.
type KeyringStatus struct {
	Name     string                 `json:"name"`
	Status   State                  `json:"status"`
	Versions []crypto.VersionStatus `json:"versions"` // newest first; none while its document is not to be had
}

// ConfigStatus tells which configuration is in use.
type ConfigStatus struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"`
}

// RouteStatus is one route, and whether it can serve.
type RouteStatus struct {
	Name      string   `json:"name"`
	Status    State    `json:"status"`
	Detail    string   `json:"detail,omitempty"`
	Hosts     []string `json:"hosts"`
	Path      string   `json:"path"`
	Methods   []string `json:"methods"`
	Public    bool     `json:"public"`
	Issuers   []string `json:"issuers"`
	Inject    []string `json:"inject"`
	Upstreams []string `json:"upstreams"`
}

// IssuerStatus is one issuer, and how its keys are.
type IssuerStatus struct {
	Name    string   `json:"name"`
	Status  State    `json:"status"`
	Detail  string   `json:"detail,omitempty"`
	Issuer  string   `json:"issuer"`
	Keys    int      `json:"keys"`                  // that can be used
	JWKSURL string   `json:"jwks_url,omitempty"`    // without user, password and query
	Age     *float64 `json:"age_seconds,omitempty"` // of the published keys in use
}

// CredentialStatus is one credential, without its value.
type CredentialStatus struct {
	Name                string     `json:"name"`
	Type                string     `json:"type"`
	Status              State      `json:"status"`
	ValidUntil          *time.Time `json:"valid_until,omitempty"`  // nil: it does not expire, or there is none
	NextRenewal         *time.Time `json:"next_renewal,omitempty"` // nil: it is not renewed
	LastError           string     `json:"last_error,omitempty"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
}

// SecretsStatus is the secret backend, and each reference in use.
type SecretsStatus struct {
	Backend string         `json:"backend"`
	Values  []SecretStatus `json:"values"`
}

// SecretStatus is one reference: its name, never its value.
type SecretStatus struct {
	Name   string   `json:"name"`
	Status State    `json:"status"`
	Reason string   `json:"reason,omitempty"` // what the last read ended with, if it was not good
	Age    *float64 `json:"age_seconds,omitempty"`
}

// AuditStatus is how the audit log is.
type AuditStatus struct {
	Status  State  `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Newest  uint64 `json:"newest"`  // number of the newest record written
	Dropped uint64 `json:"dropped"` // records lost since the start
}
