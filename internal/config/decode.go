package config

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// decoder puts a tree of nodes into a Config, by the struct tags, and gathers
// every mistake on the way.
type decoder struct {
	report
	source   []byte
	lines    [][]rune // of source, once they are asked for
	expander expander
	fields   map[reflect.Type][]field
	literals bool // secrets may stand in the file
	known    hidden
	seen     hidden
	uses     []SecretUse
	visited  int
	depth    int
	stopped  bool // a bound was passed, which was told
}

// hidden is what a message must not quote: values that stand in a secret place,
// perhaps by an alias also elsewhere, and variables that went into one.
type hidden struct {
	nodes     map[*yaml.Node]bool
	variables map[string]bool
}

// field is a key of a block, as its struct tags tell.
type field struct {
	index               int
	key, def, enum      string
	least, doc          string
	hasDef, keepEmpty   bool
	unsupported, needed bool
}

// newDecoder returns a decoder that knows from an earlier pass what to hide and
// whether secrets may stand in the file. Both may be told anywhere in the file,
// and are asked everywhere.
func newDecoder(file string, source []byte, lookup func(string) (string, bool), known hidden, literals bool) *decoder {
	return &decoder{
		report:   report{file: file, marks: make(map[string]*mark)},
		source:   source,
		expander: expander{lookup: lookup, left: maxFile},
		fields:   make(map[reflect.Type][]field),
		literals: literals, known: known,
		seen: hidden{make(map[*yaml.Node]bool), make(map[string]bool)},
	}
}

// fieldsOf returns the keys of a block.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	list, ok := d.fields[t]
	if !ok {
		list = tagged(t)
		d.fields[t] = list
	}
	return list
}

func tagged(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		key, ok := tag.Lookup("yaml")
		if !ok {
			continue
		}
		f := field{index: i, key: key, enum: tag.Get("enum"), least: tag.Get("min"), doc: tag.Get("doc")}
		f.def, f.hasDef = tag.Lookup("default")
		f.keepEmpty, f.unsupported, f.needed = tag.Get("empty") == "off", tag.Get("soon") != "", tag.Get("required") != ""
		list = append(list, f)
	}
	return list
}

// fill gives v its defaults, as if an empty block had been written.
func (d *decoder) fill(v reflect.Value) {
	for _, f := range d.fieldsOf(v.Type()) {
		switch at := v.Field(f.index); {
		case f.hasDef:
			setText(at, f.def)
		case at.Kind() == reflect.Struct && len(d.fieldsOf(at.Type())) > 0:
			d.fill(at)
		}
	}
}

// spend counts a visit to a node and reports whether there may be more. That a
// bound is passed is told once: aliases may repeat a part of the file without
// end, also within itself.
func (d *decoder) spend(path string) bool {
	if d.stopped {
		return false
	}
	d.visited++
	switch {
	case d.visited > maxNodes:
		d.fail(path, fmt.Sprintf("the configuration has more than %d values", maxNodes), "make it smaller, with fewer aliases")
	case d.depth > maxDepth:
		d.fail(path, "blocks and lists are nested too deeply", fmt.Sprintf("at most %d levels", maxDepth))
	case len(d.errs) < maxErrors:
		return true
	}
	d.stopped = true
	return false
}

// enter follows an alias. It returns nil where a bound is passed, or where n may
// not stand at all; that is told.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	if !d.spend(path) {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 || n.Tag == "!" {
		d.fail(path, "YAML tags are not supported", "remove the tag, which begins with !")
		return nil
	}
	return n
}

// decode puts what n says into v and reports whether it says anything: null and
// what the environment left empty do not. f is the key it belongs to.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string, f *field) bool {
	d.depth++
	defer func() { d.depth-- }()
	if n = d.enter(n, path); n == nil {
		return true
	}
	if isNull(n) {
		return false
	}
	d.own(path).hidden = d.own(path).hidden || d.known.nodes[n]
	switch value := v.Addr().Interface().(type) {
	case *Secret:
		return d.secret(n, value, path)
	case *Auth:
		return d.auth(n, value, path)
	case *Upstream:
		return d.upstream(n, value, path)
	case *RouteLimits:
		if n.Kind == yaml.MappingNode {
			*value = make(RouteLimits, 1)
			return d.block(n, reflect.ValueOf(value).Elem().Index(0), path)
		}
	case *CaseClaims:
		return d.claims(n, value, path)
	case *time.Duration, *Size, *Rate, *time.Time, *Offset:
		return d.scalar(n, v, path, f)
	case *Strings:
		if n.Kind != yaml.SequenceNode {
			return d.scalar(n, v, path, f)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		written := d.decode(n, v.Elem(), path, f)
		if !written {
			v.SetZero()
		}
		return written
	case reflect.Struct:
		return d.block(n, v, path)
	case reflect.Map:
		return d.mapping(n, v, path)
	case reflect.Slice:
		return d.list(n, v, path, f)
	}
	return d.scalar(n, v, path, f)
}

// text returns the text of n with its variables filled in. It reports false
// where there is none, and then whether that was a mistake, which is told.
func (d *decoder) text(n *yaml.Node, path, expected string) (text string, ok, wrong bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(path, "expected "+expected+", got "+kindOf(n), "")
		return "", false, true
	}
	parts, bad := parseText(n.Value)
	if bad != nil {
		d.fail(path, d.formProblem(path, bad), bad.advice)
		return "", false, true
	}
	if holds(parts) {
		d.fail(path, "a ${secret:…} cannot stand here", "secrets go into keys that take one, such as credentials.NAME.token; write $${ for a ${ that is meant as text")
		return "", false, true
	}
	x, err := d.expander.expand(parts)
	if err != nil {
		d.fail(path, err.Error(), unsetAdvice(err))
		return "", false, true
	}
	m := d.own(path)
	m.from = x.names
	m.hidden = m.hidden || slices.ContainsFunc(x.names, func(name string) bool { return d.known.variables[name] })
	switch {
	case len(x.names) > 0 && x.text == "":
		m.emptied = x.names
		return "", false, false
	case len(x.names) > 0 && n.Style == 0 && (x.text == `""` || x.text == "''"):
		return "", true, false // as if it were written here: an empty text, which is not a key left out
	}
	return x.text, true, false
}

func (d *decoder) formProblem(path string, bad *formError) string {
	if d.nearest(path).hidden {
		return bad.problem
	}
	return bad.problem + ": " + bad.quoted
}

func unsetAdvice(err error) string {
	if unset, ok := err.(unsetError); ok {
		return "set it, or write ${env:" + unset.name + ":-default}"
	}
	return ""
}

// scalar puts the text of n into v.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string, f *field) bool {
	expected := "a text"
	if _, list := v.Interface().(Strings); list {
		expected = "a text or a list of texts"
	} else if v.Kind() != reflect.String {
		expected = setText(reflect.New(v.Type()).Elem(), "")
	}
	text, ok, wrong := d.text(n, path, expected)
	if !ok {
		return wrong
	}
	if text == "" && v.Kind() == reflect.String && f.hasDef && !f.keepEmpty {
		d.fail(path, quote(f.key)+" is empty", "leave it out for "+quote(f.def))
		return true
	}
	if _, rate := v.Interface().(Rate); rate && text == "" && f.keepEmpty {
		v.SetZero()
		return true
	}
	if expected := setText(v, text); expected != "" {
		d.fail(path, "expected "+expected+", got "+d.show(path, text), "")
		return true
	}
	if _, ok := v.Interface().(Expression); ok && text == n.Value {
		if d.lines == nil {
			d.lines = linesOf(d.source)
		}
		d.own(path).located = locate(d.lines, n)
	}
	d.checkWords(v, path, f)
	if least, ok := bound(v, f.least); !ok {
		d.fail(path, d.show(path, text)+" is too small", "write "+least+" or more")
	}
	return true
}

// checkWords judges texts that must be one of a few words.
func (d *decoder) checkWords(v reflect.Value, path string, f *field) {
	if f.enum == "" {
		return
	}
	list, many := v.Interface().(Strings)
	if !many {
		list = Strings{v.String()}
	}
	for _, text := range list {
		problem, advice, unsupported := f.words().judge(text, d.show(path, text))
		if problem == "" {
			continue
		}
		d.fail(path, problem, advice)
		if up, _ := parent(path); unsupported {
			d.own(up).unsupported = true
		}
	}
}
