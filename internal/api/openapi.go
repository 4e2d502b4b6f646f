package api

import (
	_ "embed"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// description is the OpenAPI 3.1 document of the crypto API, mounted at the
// contract's path.
//
//go:embed openapi.json
var description string

// openAPI is the document for where the API is mounted.
func openAPI(path string) (any, error) {
	quoted, err := jsontext.AppendQuote(nil, path)
	return jsontext.Value(strings.Replace(strings.TrimSpace(description), `"/crypto/v1"`, string(quoted), 1)), err
}
