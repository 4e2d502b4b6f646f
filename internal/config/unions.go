package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// auth decodes the word public, or a block.
func (d *decoder) auth(n *yaml.Node, v *Auth, path string) bool {
	at := reflect.ValueOf(v).Elem()
	if n.Kind == yaml.MappingNode {
		return d.block(n, at, path)
	}
	text, ok, wrong := d.text(n, path, "an auth block, or the word public")
	if !ok {
		return wrong
	}
	d.fill(at)
	if v.Public = text == "public"; !v.Public {
		d.fail(path, "expected an auth block, or the word public, got "+d.show(path, text), "")
	}
	return true
}

// upstream decodes a URL, or a block.
func (d *decoder) upstream(n *yaml.Node, v *Upstream, path string) bool {
	at := reflect.ValueOf(v).Elem()
	switch n.Kind {
	case yaml.MappingNode:
		return d.block(n, at, path)
	case yaml.SequenceNode:
		d.fail(path, "expected a URL, or an upstream block, got a list", "write the list as its urls, as in {urls: [http://legacy-1:8080, http://legacy-2:8080]}")
		return true
	}
	text, ok, wrong := d.text(n, path, "a URL, or an upstream block")
	if !ok {
		return wrong
	}
	d.fill(at)
	v.URLs = Strings{text}
	return true
}

// secret decodes the reference of a secret. What else stands there may be the
// secret itself, so that no message shows it.
func (d *decoder) secret(n *yaml.Node, v *Secret, path string) bool {
	d.own(path).hidden = true
	d.seen.nodes[n] = true
	if n.Kind != yaml.ScalarNode {
		d.fail(path, "expected a secret, got "+kindOf(n), "write ${secret:PATH}, in quotes inside { }")
		return true
	}
	parts, bad := parseText(n.Value)
	if bad != nil {
		d.fail(path, d.formProblem(path, bad), bad.advice)
		return true
	}
	for _, name := range variables(parts, nil) {
		d.seen.variables[name] = true
	}
	x, err := d.expander.expand(parts)
	switch {
	case err != nil:
		d.fail(path, err.Error(), unsetAdvice(err))
	case x.mixed:
		d.fail(path, "a ${secret:…} must be the whole value", "remove the text beside it")
	case x.secret:
		*v = d.reference(x.text, path)
	case x.text == "":
		d.own(path).emptied = x.names
		return false
	case d.literals:
		*v = Secret{literal: x.text, isLiteral: true}
	default:
		d.fail(path, "a secret must not stand in this file", "write ${secret:PATH} and put the secret into the secret backend (allow_literal_secrets: true accepts it here, for trials)")
	}
	return true
}

// reference checks PATH#FIELD and notes its use.
func (d *decoder) reference(text, path string) Secret {
	name, key, hasKey := strings.Cut(text, "#")
	problem := ""
	switch {
	case name == "":
		problem = "the secret reference has no path"
	case hasKey && key == "":
		problem = "the secret reference has no field after #"
	case strings.Contains(text, "${"):
		problem = "the path of a secret reference is itself a reference"
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 || r == 0xfffd }):
		problem = "the secret reference holds a control character"
	case strings.HasPrefix(name, "/"):
		problem = "the path of a secret reference begins with a slash"
	case strings.Contains("/"+name+"/", "/../"):
		problem = "the path of a secret reference holds .."
	}
	if problem != "" {
		d.fail(path, problem, "write ${secret:PATH} or ${secret:PATH#FIELD}, as in ${secret:database#password}")
		return Secret{}
	}
	m := d.own(path)
	d.uses = append(d.uses, SecretUse{Path: name, Field: key, Where: path, Line: m.line, Column: m.column})
	return Secret{Path: name, Field: key}
}

// off reports whether n is an off value, or a block or list of such only: what
// is written so asks for nothing.
func (d *decoder) off(n *yaml.Node, path string) bool {
	d.depth++
	defer func() { d.depth-- }()
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.spend(path) {
		return true
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return d.offText(n)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			if !d.off(n.Content[i], path) {
				return false
			}
		}
	case yaml.SequenceNode:
		return len(n.Content) == 0
	}
	return true
}

func (d *decoder) offText(n *yaml.Node) bool {
	if isNull(n) {
		return true
	}
	parts, bad := parseText(n.Value)
	if bad != nil {
		return true // decoding tells of it
	}
	x, err := d.expander.expand(parts)
	if err != nil {
		return true
	}
	if x.secret || x.mixed {
		return false
	}
	if x.text == "" || x.text == "false" {
		return true
	}
	if f, err := strconv.ParseFloat(x.text, 64); err == nil {
		return f == 0
	}
	span, err := time.ParseDuration(x.text)
	return err == nil && span == 0
}
