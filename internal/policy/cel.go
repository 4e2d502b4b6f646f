package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/sallyport/sallyport/internal/auth"
)

// The bounds of an expression. Cost is CEL's own measure: about one for each
// operation, more for those that go through texts and lists.
const (
	maxExpression = 8 << 10 // characters
	maxNodes      = 2000    // of the parsed expression, its macros expanded
	maxNesting    = 64
	maxRegex      = 2000    // steps of a compiled regular expression
	maxCost       = 200_000 // of one evaluation: a few milliseconds
	maxWait       = 100 * time.Millisecond
)

// ExpressionError says what is wrong with an allow expression, and where.
type ExpressionError struct {
	Line, Column int // in the expression, from 1; the column counts characters
	Problem      string
}

func (e *ExpressionError) Error() string { return "allow: " + e.Problem }

// ExpressionErrors are all mistakes of an expression, in its order.
type ExpressionErrors []*ExpressionError

func (e ExpressionErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = fmt.Sprintf("%d:%d: %s", one.Line, one.Column, one.Problem)
	}
	return "allow: " + strings.Join(texts, "\n")
}

// Request is what an expression may ask of a request. Each part is what goes
// upstream, in the one form that was matched.
type Request struct {
	Method, Path, Host, IP string
	Headers                map[string]string   // by lower-case name; several fields of one name are joined by commas
	Query                  map[string][]string // decoded, in the order they came
	Params                 map[string]string   // of the route's path, decoded
}

// expression is an allow expression, ready to be asked.
type expression struct {
	program cel.Program
	reads   Reads
	loops   bool // it goes through lists or maps, and so may take long
}

// compile checks text, which may ask for the path parameters named. Its error is
// of [ExpressionErrors].
func compile(text string, params []string) (*expression, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" {
		return nil, wrong(1, 1, "the expression is empty")
	}
	checked, issues := env.Compile(text)
	if list := told(issues); list != nil {
		return nil, list
	}
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) {
		return nil, wrong(1, 1, "the expression is of type "+out.String()+" and must be of type bool; compare it, as in == true")
	}
	reads, mistakes := readsOf(checked.NativeRep(), params)
	if mistakes != nil {
		return nil, mistakes
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, wrong(1, 1, "the cost of the expression cannot be estimated")
	}
	if estimate.Min > maxCost || estimate.Max > maxEstimate {
		return nil, wrong(1, 1, "the expression may cost too much; use fewer lists in lists")
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, wrong(1, 1, short(err.Error()))
	}
	loops := ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.KindMatcher(ast.ComprehensionKind))
	return &expression{program, reads, len(loops) > 0}, nil
}

func wrong(line, column int, problem string) ExpressionErrors {
	return ExpressionErrors{{line, column, problem}}
}

// environment declares the variables of an expression. The request is an object
// with the fields there are, so that a misspelt one is a mistake and not an
// absent value.
func environment() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("policy: cel: %w", err)
	}
	return cel.NewEnv(
		cel.CustomTypeProvider(objects{registry}),
		cel.CustomTypeAdapter(values{registry}),
		cel.Variable("request", requestType),
		cel.Variable("params", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("subject", cel.StringType),
		cel.Variable("issuer", cel.StringType),
		cel.Variable("scopes", cel.ListType(cel.StringType)),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(maxNesting), cel.ParserErrorRecoveryLimit(5),
		cel.ExpressionNodeLimit(maxNodes), cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	)
}

// told turns CEL's issues into mistakes with their place.
func told(issues *cel.Issues) ExpressionErrors {
	var list ExpressionErrors
	for _, one := range issues.Errors() {
		list = append(list, &ExpressionError{max(one.Location.Line(), 1), max(one.Location.Column()+1, 1), short(one.Message)})
	}
	return list
}

// short keeps a message of CEL's to one line of bounded length.
func short(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if runes := []rune(message); len(runes) > 300 {
		message = string(runes[:300]) + "…"
	}
	return message
}

// The reasons of a denial by an expression.
const (
	deniedAllow = "allow"       // it said no
	deniedError = "allow_error" // it could not be evaluated
	deniedCost  = "allow_cost"  // it took more than it may
)

// ask evaluates the expression for one request. It takes at most maxCost and
// maxWait; what is no plain yes is a [*Denied].
func (e *expression) ask(pr *auth.Principal, r *Request) error {
	ctx := context.Background()
	if e.loops {
		bounded, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		ctx = bounded
	}
	result, _, err := e.program.ContextEval(ctx, &activation{pr, r})
	var cancelled interpreter.EvalCancelledError
	var overrun cost.LimitExceededError
	switch {
	case errors.As(err, &cancelled), errors.As(err, &overrun), errors.Is(err, context.DeadlineExceeded):
		return &Denied{Check: deniedCost, Reason: "allow took too long"}
	case err != nil:
		return &Denied{Check: deniedError, Reason: "allow cannot be evaluated: " + short(err.Error())}
	case result != types.True:
		return &Denied{Check: deniedAllow, Reason: "allow says no"}
	}
	return nil
}

// activation gives an expression its variables.
type activation struct {
	principal *auth.Principal
	request   *Request
}

// ResolveName implements [interpreter.Activation].
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "request":
		return a.request, true
	case "params":
		return a.request.Params, true
	case "subject":
		return a.principal.Subject, true
	case "issuer":
		return a.principal.Issuer, true
	case "scopes":
		return a.principal.Scopes, true
	case "claims":
		return a.principal.Claims, true
	}
	return nil, false
}

// Parent implements [interpreter.Activation].
func (a *activation) Parent() interpreter.Activation { return nil }
