package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// Reads is what an expression asks for of a request, as far as its text tells,
// so that only that need be there, and be judged.
type Reads struct {
	Headers, Query, Params Names
	Single                 Names // parameters of the query of which one value decides
}

// Names are names, or all there can be.
type Names struct {
	All   bool
	Names []string // sorted, each once
}

// None reports whether there is no name.
func (n Names) None() bool { return !n.All && len(n.Names) == 0 }

// Has reports whether name is one of the names.
func (n Names) Has(name string) bool {
	if n.All {
		return true
	}
	_, found := slices.BinarySearch(n.Names, name)
	return found
}

func (n *Names) add(name string, literal bool) {
	if !literal {
		n.All = true
		return
	}
	if at, found := slices.BinarySearch(n.Names, name); !found {
		n.Names = slices.Insert(n.Names, at, name)
	}
}

// readsOf finds what is read, and the mistakes that types alone do not show: a
// path parameter that the route does not have, a header's name in capitals.
func readsOf(checked *ast.AST, params []string) (Reads, ExpressionErrors) {
	var reads Reads
	var mistakes ExpressionErrors
	fail := func(e ast.NavigableExpr, problem string) {
		at := checked.SourceInfo().GetStartLocation(e.ID())
		mistakes = append(mistakes, &ExpressionError{max(at.Line(), 1), max(at.Column()+1, 1), problem})
	}
	for _, e := range ast.MatchDescendants(ast.NavigateAST(checked), ast.AllMatcher()) {
		if problem := forbidden(e); problem != "" {
			fail(e, problem)
			continue
		}
		whole := sourceOf(e)
		if whole == "" {
			continue
		}
		user, name, literal := key(e)
		switch whole {
		case "params":
			reads.Params.add(name, literal)
			if literal && !slices.Contains(params, name) {
				fail(user, fmt.Sprintf("the route's path has no parameter %q%s", name, among(params)))
			}
		case "headers":
			reads.Headers.add(name, literal)
			if literal && name != strings.ToLower(name) {
				fail(user, fmt.Sprintf("names of headers are in lower case: write %q", strings.ToLower(name)))
			}
		case "query":
			reads.Query.add(name, literal)
			if !literal || !ofAllValues(user) {
				reads.Single.add(name, literal)
			}
		}
	}
	return reads, mistakes
}

// forbidden says why e may not stand in an expression; empty if it may. A
// pattern that comes with the request could take seconds to compile.
func forbidden(e ast.NavigableExpr) string {
	switch e.Kind() {
	case ast.StructKind:
		return "an expression cannot make objects, only read them"
	case ast.CallKind:
		args := e.AsCall().Args()
		if e.AsCall().FunctionName() != overloads.Matches || len(args) == 0 {
			return ""
		}
		if _, literal := literalText(args[len(args)-1]); !literal {
			return "the pattern of matches must be written out, as in subject.matches('^svc-')"
		}
	}
	return ""
}

func among(params []string) string {
	if len(params) == 0 {
		return ": it has none"
	}
	return ": it has " + strings.Join(params, ", ")
}

// sourceOf names the map of the request that e is: params, headers or query.
func sourceOf(e ast.NavigableExpr) string {
	switch e.Kind() {
	case ast.IdentKind:
		if e.AsIdent() == "params" {
			return "params"
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "request" && (s.FieldName() == "headers" || s.FieldName() == "query") {
			return s.FieldName()
		}
	}
	return ""
}

// key returns the expression that takes an element of the map e, and the
// element's name where the text tells it.
func key(e ast.NavigableExpr) (user ast.NavigableExpr, name string, literal bool) {
	user, found := e.Parent()
	if !found {
		return e, "", false
	}
	switch user.Kind() {
	case ast.SelectKind:
		return user, user.AsSelect().FieldName(), true
	case ast.CallKind:
		args := user.AsCall().Args()
		switch function := user.AsCall().FunctionName(); {
		case function == operators.Index && len(args) == 2 && args[0].ID() == e.ID():
			name, literal = literalText(args[1])
		case function == operators.In && len(args) == 2 && args[1].ID() == e.ID():
			name, literal = literalText(args[0])
		}
	}
	return user, name, literal
}

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// ofAllValues reports whether the list of a parameter's values, or whether there
// is one, is judged as a whole: by all() or == where that must be true, by size(),
// has() or in. In any other use one value could decide and another be the
// upstream's: what is not the list ["admin"] may hold admin all the same.
func ofAllValues(list ast.NavigableExpr) bool {
	if list.Kind() == ast.SelectKind && list.AsSelect().IsTestOnly() {
		return true
	}
	if list.Kind() == ast.CallKind && list.AsCall().FunctionName() == operators.In {
		return true
	}
	user, found := list.Parent()
	if !found {
		return false
	}
	switch user.Kind() {
	case ast.CallKind:
		switch user.AsCall().FunctionName() {
		case "size":
			return true
		case operators.Equals:
			return mustBeTrue(user)
		}
	case ast.ComprehensionKind:
		step := user.AsComprehension().LoopStep()
		return user.AsComprehension().IterRange().ID() == list.ID() &&
			step.Kind() == ast.CallKind && step.AsCall().FunctionName() == operators.LogicalAnd && mustBeTrue(user)
	}
	return false
}

// mustBeTrue reports whether e can only speak for the caller by being true: there
// is nothing but && and || around it.
func mustBeTrue(e ast.NavigableExpr) bool {
	for {
		user, found := e.Parent()
		if !found {
			return true
		}
		if user.Kind() != ast.CallKind {
			return false
		}
		if f := user.AsCall().FunctionName(); f != operators.LogicalAnd && f != operators.LogicalOr {
			return false
		}
		e = user
	}
}
