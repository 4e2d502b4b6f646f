package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v4"
)

// judge is as much of JSON Schema as ours uses.
type judge struct{ defs map[string]any }

func (j judge) against(schema object, value any, at string) (problems []string) {
	if ref, ok := schema["$ref"].(string); ok {
		def, ok := j.defs[strings.TrimPrefix(ref, "#/$defs/")].(object)
		if !ok {
			return []string{"no definition " + ref}
		}
		return j.against(def, value, at)
	}
	if schema["deprecated"] == true {
		return nil // not supported yet: anything off may stand there
	}
	if list, ok := schema["anyOf"].([]any); ok {
		for _, one := range list {
			found := j.against(one.(object), value, at)
			if len(found) == 0 {
				return nil
			}
			problems = append(problems, found...)
		}
		return problems
	}
	if types := typesOf(schema["type"]); types != nil && !slices.Contains(types, typeOf(value)) && !(typeOf(value) == "integer" && slices.Contains(types, "number")) {
		return []string{fmt.Sprintf("%s: %v is no %v", at, value, types)}
	}
	if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, value) {
		problems = append(problems, fmt.Sprintf("%s: %v is none of %v", at, value, words))
	}
	if word, ok := schema["const"]; ok && !reflect.DeepEqual(word, value) {
		problems = append(problems, fmt.Sprintf("%s: %v is not %v", at, value, word))
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value.(string)) {
		problems = append(problems, fmt.Sprintf("%s: %v does not match %s", at, value, pattern))
	}
	if items, ok := value.([]any); ok {
		for i, item := range items {
			problems = append(problems, j.against(schema["items"].(object), item, fmt.Sprint(at, "[", i, "]"))...)
		}
	}
	block, ok := value.(map[string]any)
	if !ok {
		return problems
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := block[key.(string)]; !ok {
			problems = append(problems, at+": no "+key.(string))
		}
	}
	properties, _ := schema["properties"].(object)
	for key, inner := range block {
		one, ok := properties[key].(object)
		if !ok {
			one, ok = schema["additionalProperties"].(object)
		}
		if !ok {
			problems = append(problems, at+": unknown key "+key)
			continue
		}
		problems = append(problems, j.against(one, inner, at+"."+key)...)
	}
	return problems
}

func typesOf(v any) (types []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			types = append(types, one.(string))
		}
	}
	return types
}

func typeOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case int:
		return "integer"
	case float64:
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

func readSchema(t *testing.T) object {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	schema := readSchema(t)
	for _, file := range []string{"../../configs/drop-in.yaml", "../../configs/example.yaml", "testdata/contract-example.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		for _, problem := range (judge{schema["$defs"].(object)}).against(schema, value, file) {
			// The example of everything names two types that are to come.
			if !strings.Contains(problem, "credentials.svc.type: jwt") && !strings.Contains(problem, "credentials.obo.type: token_exchange") {
				t.Error(problem)
			}
		}
	}
}

func TestSchemaRefusesMistakes(t *testing.T) {
	schema := readSchema(t)
	for text, want := range map[string]string{
		"{routes: [], lisen: a}":                     "unknown key lisen",
		"{}":                                         "no routes",
		"{routes: [{name: a}]}":                      "no auth",
		"{routes: [], fast_lane: yes please}":        "fast_lane: yes please",
		"{routes: [], limits: {drain: 5}}":           "limits.drain: 5",
		"{routes: [], telemetry: {log_level: loud}}": "loud is none of",
		"{routes: [], credentials: {a: {type: static, tokn: x}}}":        "unknown key tokn",
		"{routes: [{name: a, path: /, auth: none, upstream: http://a}]}": "auth: none",
	} {
		var value map[string]any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		if found := (judge{schema["$defs"].(object)}).against(schema, value, ""); !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("%s: %q, want %s", text, found, want)
		}
	}
}

// TestSchemaKnowsEveryKey: the schema is made of the tags the decoder reads.
func TestSchemaKnowsEveryKey(t *testing.T) {
	schema := readSchema(t)
	for _, f := range tagged(reflect.TypeFor[Config]()) {
		if _, ok := schema["properties"].(object)[f.key]; !ok {
			t.Errorf("%s is not in the schema", f.key)
		}
	}
	routes := schema["$defs"].(object)["Route"].(object)["properties"].(object)
	if len(routes) != len(tagged(reflect.TypeFor[Route]())) {
		t.Errorf("a route has %d keys in the schema", len(routes))
	}
	if again, _ := Schema(); !strings.Contains(string(again), `"default": "32KiB"`) {
		t.Error("no defaults in the schema")
	}
}
