package capi

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure, tested with errors.Is.
var (
	ErrLoggedOut   = errors.New("not logged in to Cloud Foundry") // or the session is over
	ErrDenied      = errors.New("not permitted")
	ErrNotFound    = errors.New("not found")
	ErrInvalid     = errors.New("not understood")             // the login's file, or the request
	ErrFailed      = errors.New("the foundation can't do it") // a job that failed, an answer that is none
	ErrUnavailable = errors.New("service unavailable")
)

// Codes of the Cloud Controller's errors that mean more than their HTTP status,
// from errors/v2.yml of cloud_controller_ng.
const (
	codeInvalidToken     = 1000
	codeNotAuthenticated = 10002
	codeUnprocessable    = 10008
)

// Error is a failed request. It holds no secret.
type Error struct {
	Kind      error  // one of the Err… values
	Text      string // what was being done and what came of it, one line
	Advice    string // what the user can do; may be empty
	Status    int    // HTTP status, 0 if there was no answer
	Code      int    // the Cloud Controller's code, 0 if it gave none
	RequestID string // to quote to the people who run the foundation
	Err       error  // the cause; may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Text)
	var facts []string
	if e.Status != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", e.Status))
	}
	if e.Code != 0 {
		facts = append(facts, fmt.Sprintf("code %d", e.Code))
	}
	if e.RequestID != "" {
		facts = append(facts, "request "+e.RequestID)
	}
	if len(facts) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(facts, ", "))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
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

const loginAdvice = "run cf login (or cf login --sso)"

func loggedOut(text string) error {
	return &Error{Kind: ErrLoggedOut, Text: text, Advice: loginAdvice}
}
