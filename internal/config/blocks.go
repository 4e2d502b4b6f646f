package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// block decodes a block of keys into a struct.
func (d *decoder) block(n *yaml.Node, v reflect.Value, path string) bool {
	d.fill(v)
	if n.Kind != yaml.MappingNode {
		// What the environment left empty is no block, and no mistake either.
		text, ok, wrong := d.text(n, path, "a block of keys")
		if ok {
			d.fail(path, "expected a block of keys, got "+d.show(path, text), "")
		}
		return ok || wrong
	}
	fields := d.fieldsOf(v.Type())
	byKey := make(map[string]*field, len(fields))
	for i := range fields {
		byKey[fields[i].key] = &fields[i]
	}
	d.pairs(n, path, func(key, value *yaml.Node) {
		f := byKey[key.Value]
		if f == nil {
			d.unknownKey(key, path, fields)
			return
		}
		d.keyed(key, value, v.Field(f.index), join(path, f.key), f)
	})
	if d.emptiedItem(n, path) {
		return false
	}
	for i := range fields {
		d.needed(v, path, &fields[i])
	}
	return true
}

// keyed decodes the value of one key of a block.
func (d *decoder) keyed(key, value *yaml.Node, v reflect.Value, path string, f *field) {
	m := d.place(path, key, value)
	if f.unsupported {
		d.unsupported(key, value, v, path, f)
	} else if m.written = d.decode(value, v, path, f); m.written {
		return
	}
	v.SetZero()
	if f.hasDef {
		setText(v, f.def)
	} else if v.Kind() == reflect.Struct {
		d.fill(v)
	}
}

// place notes where a key stands: at its value, or at the key itself where the
// value is a block below it.
func (d *decoder) place(path string, key, value *yaml.Node) *mark {
	at := value
	if isNull(value) || value.Kind != yaml.ScalarNode && value.Kind != yaml.AliasNode && value.Style&yaml.FlowStyle == 0 {
		at = key
	}
	m := &mark{line: at.Line, column: at.Column}
	d.marks[path] = m
	return m
}

// needed tells of a key that must be written and is not.
func (d *decoder) needed(v reflect.Value, path string, f *field) {
	at := join(path, f.key)
	if !f.needed || d.stopped || d.written(at) || d.failed(at) || d.skip(path) {
		return
	}
	problem := subject(v.Type(), path) + " needs " + f.key
	if what := cmp.Or(f.doc, either(f.words().supported())); what != "" {
		problem += ": " + what
	}
	if m := d.marks[at]; m != nil && len(m.emptied) > 0 {
		problem += fmt.Sprintf(" (it came from ${env:%s}, which is empty)", strings.Join(m.emptied, "} and ${env:"))
	}
	d.fail(at, problem, "")
}

// subject names a block in a message.
func subject(t reflect.Type, path string) string {
	switch t {
	case reflect.TypeFor[Config]():
		return "the configuration"
	case reflect.TypeFor[Route]():
		return "a route"
	case reflect.TypeFor[RouteLimit]():
		return "a rate limit"
	case reflect.TypeFor[Cases]():
		return "a file of cases"
	case reflect.TypeFor[Case]():
		return "a case"
	case reflect.TypeFor[CaseRequest]():
		return "a request"
	case reflect.TypeFor[Expectation]():
		return "an expectation"
	case reflect.TypeFor[IssuerKey]():
		return "a key"
	}
	return path
}

// pairs calls use for each key of a mapping that can be one, once.
func (d *decoder) pairs(n *yaml.Node, path string, use func(key, value *yaml.Node)) {
	first := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.spend(path) {
			return
		}
		problem, advice := keyProblem(key)
		if before := first[key.Value]; problem == "" && before != nil {
			problem, advice = fmt.Sprintf("the key %s is here a second time", quote(key.Value)), fmt.Sprintf("remove one of them; the first is on line %d", before.Line)
		}
		if problem != "" {
			d.failAt(join(path, shortKey(key.Value)), key.Line, key.Column, problem, advice)
			continue
		}
		first[key.Value] = key
		use(key, value)
	}
}

func keyProblem(key *yaml.Node) (problem, advice string) {
	switch {
	case key.Kind != yaml.ScalarNode:
		return "a key must be a text, not " + kindOf(key), "write it as it stands"
	case key.Tag == "!!merge":
		return "merge keys (<<) are not supported", "write the keys out, or use an alias for a whole block"
	case key.Style&yaml.TaggedStyle != 0 || key.Tag == "!":
		return "YAML tags are not supported", "remove the tag, which begins with !"
	case key.Value == "" || isNull(key):
		return "a key is missing before the colon", "write one, or remove the line"
	case strings.Contains(key.Value, "${"):
		return "${…} cannot stand in a key", "write the key out"
	}
	return "", ""
}

// unknownKey tells of a key that the block does not have. The key it was
// probably meant as counts as wrong, so that it is not missed as well.
func (d *decoder) unknownKey(key *yaml.Node, path string, fields []field) {
	var all, supported []string
	for _, f := range fields {
		all = append(all, f.key)
		if !f.unsupported {
			supported = append(supported, f.key)
		}
	}
	advice := suggest(key.Value, supported, "the keys here are")
	if near, ok := nearestWord(key.Value, all); ok {
		advice = "did you mean " + quote(near) + "?"
		d.own(join(path, near)).inside = true
	}
	d.failAt(join(path, shortKey(key.Value)), key.Line, key.Column, "unknown key "+quote(key.Value), advice)
}

// shortKey is a key as a path holds it: the bound keeps paths short.
func shortKey(key string) string {
	if len(key) > 128 {
		return key[:128]
	}
	return key
}

// mapping decodes a block whose keys are names.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) bool {
	if n.Kind != yaml.MappingNode {
		text, ok, wrong := d.text(n, path, "a block of keys")
		if ok {
			d.fail(path, "expected a block of keys, got "+d.show(path, text), "")
		}
		return ok || wrong
	}
	v.Set(reflect.MakeMap(v.Type()))
	element := v.Type().Elem()
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, shortKey(key.Value))
		if element.Kind() == reflect.Struct && !isName(key.Value, 128) {
			d.failAt(at, key.Line, key.Column, "a name cannot be "+quote(key.Value), "use letters, digits, dots, _ and -, at most 128")
			return
		}
		m := d.place(at, key, value)
		one := reflect.New(element).Elem()
		if element.Kind() == reflect.Interface {
			m.written = d.any(value, one, at)
		} else {
			m.written = d.decode(value, one, at, &field{key: key.Value})
		}
		switch {
		case m.written:
		case isNull(value) && element.Kind() == reflect.Struct:
			d.block(&yaml.Node{Kind: yaml.MappingNode}, one, at)
		case isNull(value):
			d.fail(at, quote(key.Value)+" has no value", "write one, or remove the key")
		default:
			return
		}
		v.SetMapIndex(reflect.ValueOf(key.Value), one)
	})
	return true
}

// isName reports whether name has letters, digits, dots, _ and - only.
func isName(name string, longest int) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return name != "" && len(name) <= longest
}

// list decodes a list. An item that the environment left empty is not in it;
// where that leaves none, the list was not written.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, f *field) bool {
	if n.Kind != yaml.SequenceNode {
		text, ok, wrong := d.text(n, path, "a list")
		if ok {
			d.fail(path, "expected a list, got "+d.show(path, text), "")
		}
		return ok || wrong
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	var emptied []string
	for _, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, v.Len())
		d.marks[at] = &mark{line: item.Line, column: item.Column}
		one := reflect.New(v.Type().Elem()).Elem()
		if !d.decode(item, one, at, &field{key: f.key, enum: f.enum}) {
			emptied = append(emptied, d.marks[at].emptied...)
			delete(d.marks, at)
			continue
		}
		d.marks[at].written = true
		if one.Kind() == reflect.String {
			if one.String() == "" && !d.failed(at) {
				d.fail(at, "an empty text in a list", "remove it")
			}
			if d.failed(at) {
				continue // told once; nobody need judge it again
			}
		}
		v.Set(reflect.Append(v, one))
	}
	if v.Len() > 0 || len(emptied) == 0 {
		return true
	}
	d.own(path).emptied = emptied
	return false
}

// emptiedItem reports whether all values of a block that is an item of a list
// were left out through the environment. The item is then left out with them.
func (d *decoder) emptiedItem(n *yaml.Node, path string) bool {
	if !strings.HasSuffix(path, "]") || len(n.Content) == 0 {
		return false
	}
	var emptied []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		m := d.marks[join(path, n.Content[i].Value)]
		if m == nil || m.written || m.wrong {
			return false
		}
		emptied = append(emptied, m.emptied...)
	}
	if len(emptied) == 0 {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		delete(d.marks, join(path, n.Content[i].Value))
	}
	d.own(path).emptied = emptied
	return true
}
