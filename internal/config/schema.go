package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Schema returns a JSON Schema (draft 2020-12) of the configuration for
// editors. It is made of the same struct tags the decoder reads. Editors judge
// a file as it is written, so that ${env:…} is accepted wherever a value is.
func Schema() ([]byte, error) {
	s := schema{defs: map[string]any{
		"expression": object{"type": "string", "pattern": `\$\{env:`, "description": "a text that an environment variable takes part in"},
	}}
	root := s.block(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Sallyport configuration"
	root["$defs"] = s.defs
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(root)
	return b.Bytes(), err
}

type object = map[string]any

// schema gathers the definitions of blocks while the keys are walked.
type schema struct{ defs map[string]any }

// block is the schema of a block of keys.
func (s *schema) block(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range tagged(t) {
		if f.unsupported {
			doc := strings.TrimPrefix(f.doc+"; not supported in this version", "; ")
			properties[f.key] = object{"description": doc, "deprecated": true}
			continue
		}
		of := t.Field(f.index).Type
		property := s.value(of, &f)
		if f.doc != "" {
			property["description"] = f.doc
		}
		if f.hasDef {
			property["default"] = defaultOf(of, f.def)
		}
		if f.needed {
			required = append(required, f.key)
		}
		properties[f.key] = property
	}
	block := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		block["required"] = required
	}
	return block
}

// define returns a reference to the schema of a block, which it makes once.
func (s *schema) define(t reflect.Type) object {
	if _, ok := s.defs[t.Name()]; !ok {
		s.defs[t.Name()] = nil // a block that holds itself would end here
		s.defs[t.Name()] = s.block(t)
	}
	return object{"$ref": "#/$defs/" + t.Name()}
}

// value is the schema of what a key takes.
func (s *schema) value(t reflect.Type, f *field) object {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return orExpression(matching(`^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`), object{"const": 0})
	case reflect.TypeFor[Size]():
		return orExpression(matching("^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)?$"), object{"type": "integer", "minimum": 0})
	case reflect.TypeFor[Rate]():
		forms := []object{matching(`^[0-9]+ */ *([0-9.]*(ns|us|µs|ms|s|m|h))*$`)}
		if f.keepEmpty {
			forms = append(forms, object{"const": ""})
		}
		return orExpression(forms...)
	case reflect.TypeFor[Secret]():
		return object{"type": "string", "examples": []string{"${secret:PATH}", "${secret:PATH#FIELD}"}}
	case reflect.TypeFor[Strings]():
		one := s.text(f)
		return object{"anyOf": []any{scalar(), object{"type": "array", "items": one}}}
	case reflect.TypeFor[Auth]():
		return orExpression(object{"const": "public"}, s.define(t))
	case reflect.TypeFor[Upstream]():
		return object{"anyOf": []any{object{"type": "string"}, s.define(t)}}
	case reflect.TypeFor[RouteLimits]():
		one := s.define(t.Elem())
		return orExpression(one, object{"type": "array", "items": one})
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.value(t.Elem(), f)
	case reflect.Struct:
		return s.define(t)
	case reflect.Slice:
		return object{"type": "array", "items": s.value(t.Elem(), &field{})}
	case reflect.Map:
		block := object{"type": "object", "additionalProperties": s.value(t.Elem(), &field{})}
		if t.Elem().Kind() == reflect.Struct {
			block["propertyNames"] = object{"pattern": "^[A-Za-z0-9._-]{1,128}$"}
		}
		return block
	case reflect.Bool:
		return orExpression(object{"type": "boolean"})
	case reflect.Int:
		return orExpression(object{"type": "integer", "minimum": 0})
	case reflect.Float64:
		return orExpression(object{"type": "number", "minimum": 0})
	case reflect.String:
		return s.text(f)
	}
	return object{}
}

// text is the schema of a text, or of the few words it must be one of.
func (s *schema) text(f *field) object {
	if words := f.words().supported(); len(words) > 0 {
		return orExpression(object{"enum": words})
	}
	return scalar()
}

// scalar is a value whose text is taken as it is written.
func scalar() object { return object{"type": []string{"string", "number", "boolean"}} }

func matching(pattern string) object { return object{"type": "string", "pattern": pattern} }

func orExpression(forms ...object) object {
	list := []any{}
	for _, form := range forms {
		list = append(list, form)
	}
	return object{"anyOf": append(list, object{"$ref": "#/$defs/expression"})}
}

// defaultOf is a default as it would be written.
func defaultOf(t reflect.Type, def string) any {
	v := reflect.New(t).Elem()
	switch v.Interface().(type) {
	case time.Duration, Size, Rate:
		return def
	}
	if setText(v, def) != "" {
		return def
	}
	return v.Interface()
}
