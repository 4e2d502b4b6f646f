package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDate is the last second of the year 9999, the last one RFC 3339 can write.
const maxDate = 253402300799

var errDate = errors.New("is not a date between the years 1970 and 9999")

// numericDate returns the claim as a time, and the zero time where it is
// absent. A date (RFC 7519, section 2) is a JSON number from 0 to maxDate; a
// part of a second is kept to the nanosecond, the rest cut off. The decimal
// text is read as it stands, since a float64 would move it.
func numericDate(claims map[string]any, name string) (time.Time, error) {
	value, present := claims[name]
	if !present {
		return time.Time{}, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, fmt.Errorf("has a %q that is not a number", name)
	}
	t, err := parseDate(string(number))
	if err != nil {
		return time.Time{}, fmt.Errorf("has a %q that %w", name, err)
	}
	return t, nil
}

// parseDate reads a JSON number, 1.75e9 too.
func parseDate(number string) (time.Time, error) {
	if strings.HasPrefix(number, "-") {
		return time.Time{}, errDate
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift < -maxNumber || shift > maxNumber {
			return time.Time{}, errDate
		}
	}
	digits, point := whole+fraction, len(whole)+shift
	if point < 0 {
		digits, point = strings.Repeat("0", -point)+digits, 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	seconds, err := strconv.ParseUint("0"+digits[:point], 10, 64)
	rest := digits[point:]
	if err != nil || seconds > maxDate || seconds == maxDate && strings.Trim(rest, "0") != "" {
		return time.Time{}, errDate
	}
	nanos, err := strconv.ParseUint((rest + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, errDate
	}
	return time.Unix(int64(seconds), int64(nanos)), nil
}
