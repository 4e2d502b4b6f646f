package config

import (
	"fmt"
	"reflect"

	yaml "go.yaml.in/yaml/v4"
)

// unsupported judges a key that has no use in this version. An off value asks
// for nothing, but has no mistakes either.
func (d *decoder) unsupported(key, value *yaml.Node, v reflect.Value, path string, f *field) {
	if !d.off(value, v.Type(), path) {
		up, _ := parent(path)
		d.failAt(path, key.Line, key.Column, fmt.Sprintf("%q is not supported in this version", f.key), "remove it")
		d.own(up).unsupported = true
		return
	}
	if value = d.enter(value, path); value == nil {
		return
	}
	if value.Kind == yaml.ScalarNode && v.Type() != reflect.TypeFor[Secret]() {
		d.text(value, path, "a text")
		return
	}
	d.decode(value, v, path, f)
}

// off reports whether n, for a place of type t, is an off value, or a block of
// such only. It must be sure: a check that is taken for off is not made. So what
// is off depends on the type; the text "false" may be an expression.
func (d *decoder) off(n *yaml.Node, t reflect.Type, path string) bool {
	d.depth++
	defer func() { d.depth-- }()
	if !d.spend(path) {
		return true
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return d.offText(n, t)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if inner, ok := d.inside(t, n.Content[i].Value); !ok || !d.off(n.Content[i+1], inner, path) {
				return false
			}
		}
		return true
	}
	return len(n.Content) == 0
}

// inside returns the type of a key of a block. It reports false where nothing is
// known of it: then what stands there is not off.
func (d *decoder) inside(t reflect.Type, key string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range d.fieldsOf(t) {
			if f.key == key {
				return t.Field(f.index).Type, true
			}
		}
		return reflect.TypeFor[string](), true // decoding tells of an unknown key
	case reflect.Map:
		return t.Elem(), t.Elem().Kind() != reflect.Interface
	}
	return nil, false
}

func (d *decoder) offText(n *yaml.Node, t reflect.Type) bool {
	if isNull(n) {
		return true
	}
	parts, bad := parseText(n.Value)
	if bad != nil {
		return true // decoding tells of it
	}
	x, err := d.expander.expand(parts)
	switch {
	case err != nil:
		return true // as before
	case x.secret || x.mixed:
		return false
	case x.text == "":
		return true
	}
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return setText(v, x.text) == "" && v.IsZero()
	}
	return false
}
