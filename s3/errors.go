package s3

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The kinds of failure. Each error of a Bucket is exactly one of them, tested
// with errors.Is.
var (
	ErrNotFound    = errors.New("no such object")
	ErrNoBucket    = errors.New("no such bucket")
	ErrNoUpload    = errors.New("no such upload")
	ErrDenied      = errors.New("access denied")
	ErrCredentials = errors.New("credentials not accepted") // unknown, wrong, expired or revoked
	ErrExists      = errors.New("object exists already")    // If-None-Match: *
	ErrChanged     = errors.New("object was changed")       // If-Match, and the source of a copy
	ErrNotModified = errors.New("object is unchanged")      // Get with IfNoneMatch
	ErrRange       = errors.New("range is outside the object")
	ErrInvalid     = errors.New("request not accepted") // the server will never take it
	ErrTooLarge    = errors.New("object too large")
	ErrQuota       = errors.New("quota exceeded")
	ErrArchived    = errors.New("object is archived") // must be restored first
	ErrUnsupported = errors.New("not supported by this server")
	ErrCorrupt     = errors.New("data damaged on the way") // a checksum or a length that does not fit
	ErrThrottled   = errors.New("server asks to slow down")
	ErrUnavailable = errors.New("server unavailable") // no answer, or a 5xx
	ErrCanceled    = errors.New("canceled")           // the caller's context ended

	// The next two are found when a bucket is opened; neither goes away by itself.
	ErrUntrusted = errors.New("server's certificate not accepted")
	ErrRegion    = errors.New("bucket is in another region")
)

// Error is a failed request.
type Error struct {
	Op        string // S3's name of the operation, such as "PutObject"
	Key       string
	Kind      error  // one of the Err… values
	Code      string // S3's error code, where there was one
	Status    int    // HTTP status, 0 if there was no answer
	RequestID string
	Err       error // the cause; may be nil

	// RetryAfter is how long the server asks to wait before another try; 0
	// where it did not say.
	RetryAfter time.Duration

	header http.Header // of the answer, for those who want more of it
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		fmt.Fprintf(&b, " %q", e.Key)
	}
	fmt.Fprintf(&b, ": %v", e.Kind)
	var facts []string
	if e.Code != "" {
		facts = append(facts, e.Code)
	}
	if e.Status != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", e.Status))
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

// Unwrap makes errors.Is find both the kind and the cause, but no other kind: a
// request that was given up because another one failed did not fail as that did.
func (e *Error) Unwrap() []error {
	if _, another := errors.AsType[*Error](e.Err); another || e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// DeleteError lists what a Delete could not remove. errors.Is looks at the
// first failure.
type DeleteError struct {
	Failed map[string]error // by key; each an *Error
	First  error
}

func (e *DeleteError) Error() string {
	if len(e.Failed) == 1 {
		return e.First.Error()
	}
	return fmt.Sprintf("%d objects could not be deleted; the first: %v", len(e.Failed), e.First)
}

func (e *DeleteError) Unwrap() error { return e.First }
