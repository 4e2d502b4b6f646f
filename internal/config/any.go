package config

import (
	"encoding/json"
	"reflect"

	yaml "go.yaml.in/yaml/v4"
)

// any decodes a value of any type, as a claim has: texts, numbers, true, false,
// lists and blocks. What stands in quotes is a text; else what JSON would read as
// a number, true or false is that. Numbers stay the text they were, as
// json.Number, and null is as good as not written.
func (d *decoder) any(n *yaml.Node, v reflect.Value, path string) bool {
	d.depth++
	defer func() { d.depth-- }()
	if n = d.enter(n, path); n == nil {
		return true
	}
	if isNull(n) {
		return false
	}
	d.own(path).hidden = d.own(path).hidden || d.known.nodes[n]
	switch n.Kind {
	case yaml.MappingNode:
		block := make(map[string]any)
		inner := reflect.ValueOf(&block).Elem()
		written := d.mapping(n, inner, path)
		v.Set(inner)
		return written
	case yaml.SequenceNode:
		list := []any{}
		inner := reflect.ValueOf(&list).Elem()
		written := d.anyList(n, inner, path)
		v.Set(inner)
		return written
	}
	text, ok, wrong := d.text(n, path, "a value")
	if ok {
		v.Set(reflect.ValueOf(plainValue(text, n.Style)))
	}
	return ok || wrong
}

func (d *decoder) anyList(n *yaml.Node, v reflect.Value, path string) bool {
	for _, node := range n.Content {
		at := item(path, v.Len())
		d.marks[at] = &mark{line: node.Line, column: node.Column}
		one := reflect.New(v.Type().Elem()).Elem()
		if d.marks[at].written = d.any(node, one, at); d.marks[at].written && one.IsValid() && !one.IsNil() {
			v.Set(reflect.Append(v, one))
		}
	}
	return true
}

// plainValue is what text says where any type may stand.
func plainValue(text string, style yaml.Style) any {
	if style != 0 {
		return text
	}
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	if number := json.Number(text); json.Valid([]byte(text)) && isNumber(number) {
		return number
	}
	return text
}

func isNumber(n json.Number) bool {
	_, err := n.Float64()
	return err == nil
}
