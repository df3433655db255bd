package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
)

// maxDocument is the most that the server may answer to anything but a Get, in
// bytes. A page of 1,000 keys of 1,024 bytes, each escaped threefold, has 4 MiB.
const maxDocument = 16 << 20

// errStalled is the cause of a request's end when nothing moved for too long.
var errStalled = errors.New("no progress")

// errDocumentTooLarge ends an answer that no S3 server sends.
var errDocumentTooLarge = fmt.Errorf("answer is larger than %d MiB", maxDocument>>20)

// watchdog is the SDK's HTTP client. It ends requests that make no progress,
// neither while sending, nor while waiting for the answer, nor while that is
// read; limits how large documents may be; and never follows a redirect, which
// might carry a signed request to another host.
type watchdog struct {
	below  http.RoundTripper
	stall  time.Duration
	finish time.Duration // instead of stall, until the answer to a slow operation
}

// Do implements the SDK's HTTPClient. Once it has returned, nothing reads the
// request's body any more, so that the caller may reuse its memory.
func (w *watchdog) Do(req *http.Request) (*http.Response, error) {
	op := awsmiddleware.GetOperationName(req.Context())
	wait := w.stall
	if op == OpCopy || op == OpCopyPart || op == OpCompleteUpload {
		wait = max(wait, w.finish)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	alarm := time.AfterFunc(wait, func() { cancel(fmt.Errorf("%w for %v", errStalled, wait)) })
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		sent := &sentBody{body: req.Body, alarm: alarm, wait: wait}
		req.Body = sent
		defer sent.detach()
	}
	resp, err := w.below.RoundTrip(req)
	alarm.Stop()
	if err != nil {
		err = &transportError{cause(ctx, err)}
		cancel(nil)
		return nil, err
	}
	limit := int64(-1)
	if op != OpGet || resp.StatusCode >= 300 {
		limit = maxDocument
	}
	resp.Body = &receivedBody{body: resp.Body, ctx: ctx, cancel: cancel, alarm: alarm, wait: wait, limit: limit}
	if err := examine(op, req, resp); err != nil {
		resp.Body.Close()
		return nil, &transportError{err}
	}
	return resp, nil
}

// examine does what the SDK does not do with an answer, or not well.
func examine(op string, req *http.Request, resp *http.Response) error {
	if resp.StatusCode >= 300 {
		liftErrorFacts(resp)
		return nil
	}
	if to, ok := req.Context().Value(listingKey{}).(**listing); ok {
		return divertListing(resp, to)
	}
	return checkDocument(op, resp)
}

// cause prefers the reason why a context was ended to what that led to.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); errors.Is(why, errStalled) {
		return why
	}
	return err
}

// transportError is a failure between us and the server, as opposed to one of
// the SDK's.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// sentBody is a request's body. Each read of it is progress.
type sentBody struct {
	mu    sync.Mutex
	body  io.ReadCloser // guarded by mu; nil once detached
	alarm *time.Timer
	wait  time.Duration
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	b.alarm.Reset(b.wait)
	return b.body.Read(p)
}

func (b *sentBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

// detach makes sure that the transport, which may still be sending, does not
// touch the body any more.
func (b *sentBody) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alarm.Stop()
	b.body = nil
}

// receivedBody is an answer's body. Only the time that a Read waits counts, not
// that in which nobody reads.
type receivedBody struct {
	body   io.ReadCloser
	ctx    context.Context // the request's, with our cancel
	cancel context.CancelCauseFunc
	alarm  *time.Timer
	wait   time.Duration
	limit  int64 // bytes left of a document; -1 is no limit
}

func (b *receivedBody) Read(p []byte) (int, error) {
	if b.limit == 0 {
		return 0, b.over()
	}
	if b.limit > 0 && int64(len(p)) > b.limit {
		p = p[:b.limit]
	}
	b.alarm.Reset(b.wait)
	n, err := b.body.Read(p)
	b.alarm.Stop()
	if b.limit > 0 {
		b.limit -= int64(n)
	}
	if err != nil && err != io.EOF {
		err = &transportError{cause(b.ctx, err)}
	}
	return n, err
}

// over tells a document that ends exactly at the limit from a larger one.
func (b *receivedBody) over() error {
	if n, err := b.body.Read(make([]byte, 1)); n == 0 && err == io.EOF {
		return io.EOF
	}
	return &transportError{errDocumentTooLarge}
}

func (b *receivedBody) Close() error {
	err := b.body.Close()
	b.alarm.Stop()
	b.cancel(nil)
	return err
}
