package creds

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cgs3fs/cgs3fs/creds/capi"
)

// The kinds of failure. Each error of this package is one of them, tested with
// errors.Is. They are package capi's where it has them, so that its errors need
// no translation.
var (
	ErrNotHere     = errors.New("no bucket here")         // ask the next source
	ErrNotFound    = capi.ErrNotFound                     // what was named is not there
	ErrAmbiguous   = errors.New("several to choose from") // see Error.Candidates
	ErrLoggedOut   = capi.ErrLoggedOut                    // or the session is over
	ErrDenied      = capi.ErrDenied
	ErrUnavailable = capi.ErrUnavailable     // try again later
	ErrInvalid     = capi.ErrInvalid         // a document or a value with a mistake in it
	ErrFailed      = capi.ErrFailed          // the foundation can't do it
	ErrUsage       = errors.New("wrong use") // flags that contradict each other
	ErrNoRefresh   = errors.New("no newer credentials")
)

// Error is a failure that says what to do next. It holds no secret.
type Error struct {
	Kind       error       // one of the Err… values
	Text       string      // what went wrong, one line
	Advice     string      // what the user can do, one line; may be empty
	Candidates []Candidate // with ErrAmbiguous and some ErrNotFound: what there is
	Err        error       // the cause; may be nil

	quiet bool // with ErrNotHere: a place so seldom used that nobody need hear of it
}

// Candidate is a service that could have been meant.
type Candidate struct {
	Service string `json:"service"`
	Plan    string `json:"plan,omitempty"`
	Bucket  string `json:"bucket,omitempty"`
}

func (c Candidate) String() string {
	var facts []string
	if c.Plan != "" {
		facts = append(facts, "plan "+c.Plan)
	}
	if c.Bucket != "" && c.Bucket != c.Service {
		facts = append(facts, "bucket "+c.Bucket)
	}
	if len(facts) == 0 {
		return c.Service
	}
	return fmt.Sprintf("%s (%s)", c.Service, strings.Join(facts, ", "))
}

func (e *Error) Error() string {
	text := e.Text
	if len(e.Candidates) > 0 {
		names := make([]string, len(e.Candidates))
		for i, c := range e.Candidates {
			names[i] = c.String()
		}
		text += ": " + strings.Join(names, ", ")
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Hint says what the user can do about the error; it may be empty.
func (e *Error) Hint() string { return e.Advice }

// Unwrap makes errors.Is find both the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// notHere is the answer of a source that does not apply.
func notHere(format string, args ...any) error {
	return &Error{Kind: ErrNotHere, Text: fmt.Sprintf(format, args...)}
}

// unset is the answer of a source whose seldom used variable is not set.
func unset(variable string) error {
	return &Error{Kind: ErrNotHere, Text: variable + " is not set", quiet: true}
}

// invalid is the answer to a document or value with a mistake in it.
func invalid(advice, format string, args ...any) error {
	return &Error{Kind: ErrInvalid, Text: fmt.Sprintf(format, args...), Advice: advice}
}
