// Package config reads what the operator wrote.
//
// [Load] turns a YAML file into a [Config], every key typed and every default
// filled in, or into an [Errors] that names each mistake by line and column.
// Nothing here opens a socket or reads a secret: a secret place holds a
// [Secret], which is the name of a value and not the value.
//
// # Security
//
// Unknown keys are refused, so that a misspelt `auth` never means "no check".
// A key whose feature this version does not have is refused too: what the
// operator asked for and does not get must be said, not ignored.
package config

import "time"

// Config is the whole tree of CONTRACT section 3. Struct tags are its single
// source: `yaml` names the key, `default` is its value when left out, `enum`
// the words it takes (a final ! marks one that is refused as not supported in
// this version), `soon` a key whose feature is not there yet, `required` one
// that must be written, `doc` what the schema says of it.
type Config struct {
	Listen              string            `yaml:"listen" default:":8080" doc:"address clients connect to"`
	TLS                 *TLS              `yaml:"tls" doc:"serve clients over TLS"`
	TrustedProxies      Strings           `yaml:"trusted_proxies" doc:"CIDR ranges whose X-Forwarded-For and Forwarded headers are believed"`
	Limits              Limits            `yaml:"limits"`
	FastLane            bool              `yaml:"fast_lane" default:"true" doc:"the strict, fast HTTP/1.1 front; false only costs speed"`
	AllowLiteralSecrets bool              `yaml:"allow_literal_secrets" doc:"accept secrets written in this file; for trials only"`
	AllowInsecureHTTP   bool              `yaml:"allow_insecure_http" doc:"let the gateway fetch keys and tokens over plain http from hosts other than this machine"`
	Admin               Admin             `yaml:"admin"`
	Secrets             Secrets           `yaml:"secrets"`
	Issuers             map[string]Issuer `yaml:"issuers" doc:"who signs inbound tokens"`

	APIKeys     map[string]APIKeys    `yaml:"api_keys" doc:"lists of API keys"`
	Credentials map[string]Credential `yaml:"credentials" doc:"what is injected into upstream requests"`
	Keyrings    map[string]Keyring    `yaml:"keyrings" doc:"versioned encryption keys"`

	Crypto       *Crypto       `yaml:"crypto" doc:"encryption, passwords and tokens over HTTP, on the client listener"`
	TokenService *TokenService `yaml:"token_service" doc:"a small issuer on the client listener"`
	RateLimits   RateLimits    `yaml:"rate_limits"`
	Audit        *Audit        `yaml:"audit" doc:"a chained log of what was refused, renewed, read and asked of the gateway"`
	Telemetry    Telemetry     `yaml:"telemetry"`
	Routes       []Route       `yaml:"routes" required:"true" doc:"which requests go where, and who may send them"`

	file  string
	marks map[string]*mark // where each key stands
	uses  []SecretUse
}

// TLS is how the client listener speaks TLS.
type TLS struct {
	CertFile     string        `yaml:"cert_file" doc:"certificate chain, PEM; re-read when it changes"`
	KeyFile      string        `yaml:"key_file" doc:"private key, PEM; re-read when it changes"`
	ClientCAFile string        `yaml:"client_ca_file" doc:"set: clients must present a certificate signed by one of these"`
	MinVersion   string        `yaml:"min_version" default:"1.2" enum:"1.2|1.3"`
	ACME         ACME          `yaml:"acme" soon:"true"`
	HSTS         time.Duration `yaml:"hsts" soon:"true"`
	RedirectHTTP string        `yaml:"redirect_http" soon:"true"`
}

// ACME names the certificates to be had from an ACME directory.
type ACME struct {
	Domains   Strings `yaml:"domains"`
	Email     string  `yaml:"email"`
	Directory string  `yaml:"directory"`
	CacheDir  string  `yaml:"cache_dir"`
}

// Limits bound what clients may send and how long they may take; 0 is no limit.
type Limits struct {
	MaxHeader      Size          `yaml:"max_header" default:"32KiB"`
	MaxBody        Size          `yaml:"max_body" default:"10MiB"`
	HeaderTimeout  time.Duration `yaml:"header_timeout" default:"5s"`
	BodyTimeout    time.Duration `yaml:"body_timeout" default:"30s" doc:"longest wait between two reads of a request body"`
	IdleTimeout    time.Duration `yaml:"idle_timeout" default:"2m"`
	MaxConnections int           `yaml:"max_connections" default:"0"`
	Drain          time.Duration `yaml:"drain" default:"30s" doc:"how long requests in flight may take to finish at shutdown"`
	DrainDelay     time.Duration `yaml:"drain_delay" default:"0s" doc:"how long /readyz fails before the listener closes"`
	AuthFailures   Rate          `yaml:"auth_failures" empty:"off" doc:"failed authentications an address may make before it gets 429, such as 60/1m; an empty text switches it off, as leaving it out does"`
}

// Admin is the operators' listener.
type Admin struct {
	Listen string `yaml:"listen" default:"127.0.0.1:9090" empty:"off" doc:"health, metrics, admin API; an empty text switches it off"`
	Token  Secret `yaml:"token" doc:"asked for by everything but the probes and /metrics"`
}

// Secrets says where `${secret:…}` is read.
type Secrets struct {
	Backend  Strings       `yaml:"backend" default:"auto" enum:"auto|env|file|vault|aws" doc:"one backend, or a list to try in order"`
	Refresh  time.Duration `yaml:"refresh" default:"1m" min:"1s" doc:"how often values in use are read again"`
	MaxStale time.Duration `yaml:"max_stale" default:"1h" doc:"how long a last known value serves while the backend is down"`
	Env      EnvBackend    `yaml:"env"`
	File     FileBackend   `yaml:"file"`
	Vault    Vault         `yaml:"vault"`
	AWS      AWS           `yaml:"aws"`
}

// EnvBackend reads secrets from environment variables.
type EnvBackend struct {
	Prefix string `yaml:"prefix"`
}

// FileBackend reads secrets from files below a folder.
type FileBackend struct {
	Dir string `yaml:"dir" default:"/run/secrets"`
}

// Vault reads secrets from HashiCorp Vault.
type Vault struct {
	Address   string    `yaml:"address" doc:"left out: VAULT_ADDR"`
	Namespace string    `yaml:"namespace" doc:"left out: VAULT_NAMESPACE"`
	Mount     string    `yaml:"mount" default:"secret" doc:"of the KV secrets engine"`
	KVVersion int       `yaml:"kv_version" default:"2" doc:"1 or 2"`
	Auth      VaultAuth `yaml:"auth"`
	TLS       ClientTLS `yaml:"tls"`
}

// VaultAuth is how the gateway logs in to Vault.
type VaultAuth struct {
	Method       string `yaml:"method" default:"token" enum:"token|approle|kubernetes"`
	TokenFile    string `yaml:"token_file" doc:"token: looked at before each read; left out: VAULT_TOKEN"`
	RoleID       string `yaml:"role_id" doc:"approle"`
	SecretIDFile string `yaml:"secret_id_file" doc:"approle: holds the secret id, or a token that wraps it"`
	Role         string `yaml:"role" doc:"kubernetes"`
	JWTFile      string `yaml:"jwt_file" doc:"kubernetes; left out: the service account's"`
	Mount        string `yaml:"mount" doc:"where the method is enabled, if not at its own name"`
}

// AWS reads secrets from AWS Secrets Manager.
type AWS struct {
	Region   string    `yaml:"region" doc:"left out: AWS_REGION, AWS_DEFAULT_REGION, or the profile's"`
	Endpoint string    `yaml:"endpoint" doc:"left out: AWS_ENDPOINT_URL, or AWS's own"`
	Prefix   string    `yaml:"prefix" doc:"put before the names of secrets, not before ARNs"`
	TLS      ClientTLS `yaml:"tls"`
}

// ClientTLS is how the gateway speaks TLS to a server it fetches from.
type ClientTLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Issuer is who signs tokens, and which of them are believed.
type Issuer struct {
	Issuer         string        `yaml:"issuer" doc:"exact value of the iss claim"`
	JWKSURL        string        `yaml:"jwks_url"`
	Discovery      bool          `yaml:"discovery" doc:"learn where its keys are from its OpenID Connect or OAuth 2.0 metadata"`
	Keys           []IssuerKey   `yaml:"keys"`
	Algorithms     Strings       `yaml:"algorithms" enum:"HS256|HS384|HS512|RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"`
	Audiences      Strings       `yaml:"audiences" doc:"one of these must be in aud; * accepts any"`
	TokenTypes     Strings       `yaml:"token_types" doc:"accepted typ headers, e.g. at+jwt"`
	RequiredClaims Strings       `yaml:"required_claims" default:"sub"`
	ScopeClaims    Strings       `yaml:"scope_claims" default:"scope,scp"`
	Leeway         time.Duration `yaml:"leeway" default:"30s"`
	MaxLifetime    time.Duration `yaml:"max_lifetime"`
	From           Strings       `yaml:"from" default:"header" doc:"header, cookie:NAME or query:NAME"`
	JWKS           JWKS          `yaml:"jwks"`
	TLS            ClientTLS     `yaml:"tls"`
	Introspection  Introspection `yaml:"introspection" doc:"ask the issuer about tokens that are no JWTs (RFC 7662)"`
}

// IssuerKey is one key from the secret backend.
type IssuerKey struct {
	KID       string `yaml:"kid"`
	Algorithm string `yaml:"algorithm" enum:"HS256|HS384|HS512|RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"`
	Key       Secret `yaml:"key" required:"true" doc:"${secret:PATH} of an HMAC key, PEM, JWK or JWKS"`
}

// JWKS is how often published keys are read.
type JWKS struct {
	Refresh  time.Duration `yaml:"refresh" default:"15m" min:"1s"`
	Cooldown time.Duration `yaml:"cooldown" default:"30s" min:"1s" doc:"at most one fetch for unknown key ids in this time"`
	MaxStale time.Duration `yaml:"max_stale" default:"24h"`
}

// Introspection asks the issuer about opaque tokens (RFC 7662).
type Introspection struct {
	URL          string        `yaml:"url"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret Secret        `yaml:"client_secret"`
	Cache        time.Duration `yaml:"cache" doc:"how long an answer is remembered, never past exp; default not at all"`
}

// APIKeys is a list of keys and the header they come in.
type APIKeys struct {
	Header string `yaml:"header" default:"X-API-Key" doc:"header the keys come in; taken away before every upstream"`
	Keys   Secret `yaml:"keys" required:"true" doc:"${secret:PATH} of a JSON list of records"`
}

// Credential is what is put on an upstream request, and where.
type Credential struct {
	Type string `yaml:"type" required:"true" enum:"static|basic|oauth2|jwt|token_exchange"`

	Token    Secret `yaml:"token"`
	Username Secret `yaml:"username"`
	Password Secret `yaml:"password"`

	TokenURL      string            `yaml:"token_url"`
	ClientID      string            `yaml:"client_id"`
	ClientSecret  Secret            `yaml:"client_secret"`
	ClientAuth    string            `yaml:"client_auth" default:"basic" enum:"basic|post|private_key_jwt|tls"`
	Scopes        Strings           `yaml:"scopes"`
	Resource      string            `yaml:"resource"`
	Parameters    map[string]string `yaml:"parameters"`
	RefreshBefore time.Duration     `yaml:"refresh_before" default:"5m"`
	TLS           ClientTLS         `yaml:"tls"`

	SigningKey Secret         `yaml:"signing_key"`
	Algorithm  string         `yaml:"algorithm" enum:"HS256|HS384|HS512|RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"`
	KID        string         `yaml:"kid"`
	Issuer     string         `yaml:"issuer"`
	Audience   Strings        `yaml:"audience"`
	Subject    string         `yaml:"subject"`
	Expiry     time.Duration  `yaml:"expiry" default:"15m" min:"1s"`
	Claims     map[string]any `yaml:"claims"`

	Header string  `yaml:"header" doc:"header it goes in; default Authorization"`
	Prefix *string `yaml:"prefix" doc:"text before it; default \"Bearer \" or \"Basic \""`
	Query  string  `yaml:"query" doc:"query parameter it goes in, instead of a header"`
	Cookie string  `yaml:"cookie" doc:"cookie it goes in, instead of a header"`
	Hosts  Strings `yaml:"hosts" doc:"upstreams it may be sent to, as host:port"`
}

// Keyring is a family of encryption keys.
type Keyring struct {
	Type string `yaml:"type" required:"true" enum:"fernet|aes256-gcm|xaes256-gcm|hmac"`
	Keys Secret `yaml:"keys" required:"true" doc:"${secret:PATH} of a keyring document, or of one key in base64"`
}

// Crypto serves the crypto API on the client listener.
type Crypto struct {
	Path            string         `yaml:"path" doc:"where it is served, on every host, e.g. /crypto/v1"`
	Auth            Auth           `yaml:"auth" doc:"who may call; what each may do is said by the scopes crypto:…"`
	MaxBody         Size           `yaml:"max_body" default:"1MiB"`
	PasswordWorkers int            `yaml:"password_workers" doc:"passwords hashed at once; 0: half the cores"`
	PasswordPolicy  PasswordPolicy `yaml:"password_policy" doc:"refuses passwords to hash"`
}

// PasswordPolicy refuses weak passwords.
type PasswordPolicy struct {
	MinLength    int  `yaml:"min_length" doc:"characters"`
	RefuseCommon bool `yaml:"refuse_common" doc:"refuse the 30,000 commonest"`
}

// TokenService makes the gateway a small issuer.
type TokenService struct {
	Path        string        `yaml:"path" doc:"where it is served, on every host, e.g. /oauth2"`
	Issuer      string        `yaml:"issuer" doc:"iss of its tokens: the URL callers reach it by"`
	SigningKeys Secret        `yaml:"signing_keys" doc:"${secret:PATH} of a private key, or of a JWKS with several: the first signs, all are published"`
	Expiry      time.Duration `yaml:"expiry" default:"15m" min:"1s"`
	Clients     Secret        `yaml:"clients" doc:"${secret:PATH} of a JSON list of {id, hash, scopes, audience}"`
}

// RateLimits says where buckets are kept.
type RateLimits struct {
	Store        string `yaml:"store" default:"memory" enum:"memory|redis!"`
	MaxKeys      int    `yaml:"max_keys" default:"100000" min:"1"`
	Redis        Redis  `yaml:"redis" soon:"true"`
	OnStoreError string `yaml:"on_store_error" default:"local" enum:"local|allow!|deny!"`
}

// Redis shares buckets between replicas.
type Redis struct {
	URL   Secret        `yaml:"url"`
	Lease time.Duration `yaml:"lease" default:"50ms"`
	TLS   ClientTLS     `yaml:"tls"`
}

// Audit is the chained record of decisions.
type Audit struct {
	Path    string `yaml:"path" required:"true" doc:"the log's file; PATH.head is beside it"`
	HMACKey Secret `yaml:"hmac_key" required:"true" doc:"${secret:PATH} of 32 random bytes or more"`
	OnError string `yaml:"on_error" default:"continue" enum:"continue|refuse" doc:"what becomes of requests while the log cannot be written"`
}

// Telemetry is what operators see.
type Telemetry struct {
	LogLevel  string `yaml:"log_level" default:"info" enum:"debug|info|warn|error"`
	LogFormat string `yaml:"log_format" default:"auto" enum:"auto|text|json"`
	AccessLog string `yaml:"access_log" default:"stdout" empty:"off" doc:"stdout, stderr, a file's path, or an empty text for none"`
	OTLP      OTLP   `yaml:"otlp" soon:"true"`
}

// OTLP exports traces.
type OTLP struct {
	Endpoint string  `yaml:"endpoint"`
	Protocol string  `yaml:"protocol" default:"grpc" enum:"grpc|http"`
	Sample   float64 `yaml:"sample" default:"0.1"`
}

// Route is a match and what happens to a matching request.
type Route struct {
	Name               string            `yaml:"name" required:"true" doc:"a short name for logs and metrics"`
	Hosts              Strings           `yaml:"hosts" doc:"host names, also *.example.com; default any"`
	Path               string            `yaml:"path" required:"true" doc:"a pattern such as /orders/* or /orders/{id}"`
	Methods            Strings           `yaml:"methods" doc:"default: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"`
	Auth               Auth              `yaml:"auth" required:"true" doc:"an auth block, or the word public"`
	Forward            map[string]string `yaml:"forward" doc:"header: claim"`
	Inject             Strings           `yaml:"inject" doc:"credential, or list of credentials"`
	KeepAuthorization  bool              `yaml:"keep_authorization"`
	EncodedSlash       string            `yaml:"encoded_slash" default:"refuse" enum:"refuse|keep"`
	KeepMethodOverride bool              `yaml:"keep_method_override"`
	RateLimit          RouteLimits       `yaml:"rate_limit" doc:"a limit, or a list of limits"`
	Fields             *Fields           `yaml:"fields" soon:"true"`
	RequestHeaders     HeaderEdit        `yaml:"request_headers"`
	ResponseHeaders    HeaderEdit        `yaml:"response_headers"`
	CORS               CORS              `yaml:"cors" soon:"true"`
	MaxBody            *Size             `yaml:"max_body" doc:"default: limits.max_body"`
	Upstream           Upstream          `yaml:"upstream" required:"true" doc:"a URL, or an upstream block"`
}

// Auth is who may use a route: the word public, or a block.
type Auth struct {
	Public             bool               // the word public
	Issuers            Strings            `yaml:"issuers"`
	APIKeys            Strings            `yaml:"api_keys" doc:"any of these lists"`
	ClientCertificates bool               `yaml:"client_certificates" doc:"true takes the TLS client's certificate; needs tls.client_ca_file"`
	Scopes             Strings            `yaml:"scopes"`
	Claims             map[string]Strings `yaml:"claims"`
	Allow              Expression         `yaml:"allow" doc:"an expression in CEL that must be true"`
	Mode               string             `yaml:"mode" default:"enforce" enum:"enforce|observe"`
	CloseAtExpiry      bool               `yaml:"close_at_expiry" default:"true"`
	Resource           string             `yaml:"resource" doc:"URL of the protected resource the route belongs to, for its metadata (RFC 9728)"`
}

// RouteLimit is how often each caller may pass.
type RouteLimit struct {
	Rate  Rate   `yaml:"rate" required:"true" doc:"such as 100/s or 6000/1m"`
	Burst int    `yaml:"burst" doc:"default: the rate's count"`
	Key   string `yaml:"key" doc:"subject, ip, route, claim:NAME or header:NAME; default subject, on a public route ip"`
}

// Fields seals parts of bodies.
type Fields struct {
	Keyring         string            `yaml:"keyring"`
	EncryptRequest  Strings           `yaml:"encrypt_request"`
	DecryptResponse Strings           `yaml:"decrypt_response"`
	DecryptScope    string            `yaml:"decrypt_scope"`
	Mask            string            `yaml:"mask" default:"****"`
	Plaintext       string            `yaml:"plaintext" enum:"allow|mask"`
	OtherTypes      string            `yaml:"other_types" enum:"pass|refuse"`
	Bind            Strings           `yaml:"bind"`
	Index           map[string]string `yaml:"index"`
}

// HeaderEdit sets and removes header fields.
type HeaderEdit struct {
	Set    map[string]string `yaml:"set"`
	Remove Strings           `yaml:"remove"`
}

// CORS answers browsers' cross-origin questions.
type CORS struct {
	Origins     Strings       `yaml:"origins"`
	Methods     Strings       `yaml:"methods"`
	Headers     Strings       `yaml:"headers"`
	Credentials bool          `yaml:"credentials"`
	MaxAge      time.Duration `yaml:"max_age"`
}

// Upstream is where requests go.
type Upstream struct {
	URLs        Strings     `yaml:"urls" required:"true" doc:"such as http://legacy:8080"`
	Balance     string      `yaml:"balance" default:"round_robin" enum:"round_robin|least_connections!"`
	StripPrefix string      `yaml:"strip_prefix"`
	AddPrefix   string      `yaml:"add_prefix"`
	Host        string      `yaml:"host" default:"upstream" doc:"upstream, preserve, or a literal"`
	Protocol    string      `yaml:"protocol" default:"auto" enum:"auto|http1|h2!|h2c!"`
	Timeouts    Timeouts    `yaml:"timeouts"`
	Retries     Retries     `yaml:"retries" soon:"true"`
	Health      Health      `yaml:"health" soon:"true"`
	Eject       Eject       `yaml:"eject" soon:"true"`
	TLS         UpstreamTLS `yaml:"tls"`
}

// Timeouts bound an upstream call; 0 is no limit.
type Timeouts struct {
	Connect        time.Duration `yaml:"connect" default:"5s"`
	ResponseHeader time.Duration `yaml:"response_header" default:"30s"`
	Total          time.Duration `yaml:"total" default:"0s"`
}

// Retries says when a failed call is tried again.
type Retries struct {
	Attempts int   `yaml:"attempts" default:"2"`
	Statuses []int `yaml:"statuses" default:"502,503,504"`
}

// Health asks each upstream how it is.
type Health struct {
	Path           string        `yaml:"path"`
	Interval       time.Duration `yaml:"interval"`
	Timeout        time.Duration `yaml:"timeout"`
	UnhealthyAfter int           `yaml:"unhealthy_after"`
	HealthyAfter   int           `yaml:"healthy_after"`
}

// Eject leaves out an upstream that fails.
type Eject struct {
	Failures int           `yaml:"failures" default:"5"`
	For      time.Duration `yaml:"for" default:"10s"`
}

// UpstreamTLS is how TLS is spoken to an upstream.
type UpstreamTLS struct {
	CAFile             string `yaml:"ca_file"`
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	ServerName         string `yaml:"server_name"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
}
