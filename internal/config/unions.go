package config

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

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

const maxReference = 1024 // bytes of a path, and of a field

// reference checks PATH#FIELD and notes its use.
func (d *decoder) reference(text, path string) Secret {
	name, key, hasKey := strings.Cut(text, "#")
	if problem := referenceProblem(name, key, hasKey); problem != "" {
		d.fail(path, problem, "write ${secret:PATH} or ${secret:PATH#FIELD}, as in ${secret:database#password}")
		return Secret{}
	}
	m := d.own(path)
	d.uses = append(d.uses, SecretUse{Path: name, Field: key, Where: path, Line: m.line, Column: m.column})
	return Secret{Path: name, Field: key}
}

// referenceProblem says what is wrong with a reference that no backend could
// have, and some could be led astray by; empty if nothing is.
func referenceProblem(name, key string, hasKey bool) string {
	for _, part := range []string{name, key} {
		switch {
		case strings.Contains(part, "${"):
			return "the path of a secret reference is itself a reference"
		case !utf8.ValidString(part) || strings.ContainsFunc(part, func(r rune) bool { return !unicode.IsPrint(r) }):
			return "the secret reference holds a character that cannot be printed"
		case strings.TrimSpace(part) != part:
			return "the secret reference begins or ends with a space"
		case strings.ContainsAny(part, "{}#"):
			return "the secret reference holds a brace or a second #"
		case len(part) > maxReference:
			return fmt.Sprintf("the secret reference is longer than %d bytes", maxReference)
		}
	}
	switch {
	case name == "":
		return "the secret reference has no path"
	case hasKey && key == "":
		return "the secret reference has no field after #"
	case strings.HasPrefix(name, "/"):
		return "the path of a secret reference begins with a slash"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || segment == ".." {
			return "the path of a secret reference holds . or .. as a segment"
		}
	}
	return ""
}
