package gateway

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/policy"
)

// failRoute notes why a route could not be made, if it could not. The mistakes of
// an expression have places of their own.
func (b *builder) failRoute(i int, err error) {
	key := fmt.Sprintf("routes[%d]", i)
	var mistakes policy.ExpressionErrors
	if !errors.As(err, &mistakes) {
		b.fail(key, err)
		return
	}
	key += ".auth.allow"
	for _, m := range mistakes {
		line, column, exact := b.config.PositionIn(key, m.Line, m.Column)
		problem := key + ": " + m.Problem
		if !exact {
			problem += fmt.Sprintf(" (line %d, column %d of the expression)", m.Line, m.Column)
		}
		b.wrong = append(b.wrong, config.Error{File: b.config.File(), Line: line, Column: column, Problem: problem})
	}
}
