package policy

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// requestType is the type of the variable request.
var requestType = cel.ObjectType("sallyport.Request")

// requestField is one of its fields.
type requestField struct {
	name string
	of   *types.Type
	get  func(*Request) any
}

func requestFields() []requestField {
	return []requestField{
		{"headers", types.NewMapType(types.StringType, types.StringType), func(r *Request) any { return r.Headers }},
		{"host", types.StringType, func(r *Request) any { return r.Host }},
		{"ip", types.StringType, func(r *Request) any { return r.IP }},
		{"method", types.StringType, func(r *Request) any { return r.Method }},
		{"path", types.StringType, func(r *Request) any { return r.Path }},
		{"query", types.NewMapType(types.StringType, types.NewListType(types.StringType)), func(r *Request) any { return r.Query }},
	}
}

var errNoRequest = errors.New("not a request")

// objects tells the type checker of requestType, which expressions can read and
// not make.
type objects struct{ types.Provider }

// FindStructType implements [types.Provider].
func (o objects) FindStructType(name string) (*types.Type, bool) {
	if name == requestType.TypeName() {
		return types.NewTypeTypeWithParam(requestType), true
	}
	return o.Provider.FindStructType(name)
}

// FindStructFieldNames implements [types.Provider].
func (o objects) FindStructFieldNames(name string) ([]string, bool) {
	if name != requestType.TypeName() {
		return o.Provider.FindStructFieldNames(name)
	}
	var names []string
	for _, f := range requestFields() {
		names = append(names, f.name)
	}
	return names, true
}

// FindStructFieldType implements [types.Provider].
func (o objects) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != requestType.TypeName() {
		return o.Provider.FindStructFieldType(name, field)
	}
	for _, f := range requestFields() {
		if f.name == field {
			return &types.FieldType{
				Type:  f.of,
				IsSet: func(any) bool { return true },
				GetFrom: func(target any) (any, error) {
					r, ok := target.(*Request)
					if !ok {
						return nil, errNoRequest
					}
					return f.get(r), nil
				},
			}, true
		}
	}
	return nil, false
}

// values turns Go's values into CEL's. Numbers of claims are texts until here,
// so that none was rounded on the way.
type values struct{ types.Adapter }

// NativeToValue implements [types.Adapter].
func (v values) NativeToValue(value any) ref.Val {
	switch value := value.(type) {
	case json.Number:
		return number(value.String())
	case map[string]any:
		return types.NewStringInterfaceMap(v, value)
	case []any:
		return types.NewDynamicList(v, value)
	case *Request:
		return types.NewErr("the request as a whole is no value; name one of its fields")
	}
	return v.Adapter.NativeToValue(value)
}

// exact is the largest whole number up to which a double holds every one.
const exact = 1 << 53

// number is a JSON number: a whole one is an int, or above that a uint; any
// other is a double. One that none of these can hold as it is written is an
// error, since two such numbers would be taken for one.
func number(text string) ref.Val {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(i)
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return types.Uint(u)
		}
		return types.NewErr("a number is too big to be compared")
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f > exact || f < -exact {
		return types.NewErr("a number is too big to be compared")
	}
	return types.Double(f)
}

// maxEstimate bounds the cost an expression may have at worst, as estimated of
// what a request can hold at all: two lists in one another pass, three do not. It
// is far above maxCost, which bounds what an evaluation does cost, since an
// estimate takes every list and text for as long as it could be.
const maxEstimate = 1 << 40

// sizes tells the estimate how big the variables can be.
type sizes struct{}

// EstimateSize implements [cost.Estimator].
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	path := element.Path()
	if len(path) == 0 {
		return nil
	}
	switch element.Type().Kind() {
	case types.ListKind, types.MapKind:
		return &cost.SizeEstimate{Min: 0, Max: 1000}
	}
	return &cost.SizeEstimate{Min: 0, Max: 16 << 10}
}

// EstimateCallCost implements [cost.Estimator].
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
