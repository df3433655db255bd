package harness

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
)

// Flaky does harm that passes to a part of all requests: a server that is busy,
// that fails, whose answer is lost though the work was done, whose answer is
// cut in the middle. The same seed harms the same way, as far as requests come
// in the same order. What is asked again and again is not harmed again and again:
// bad luck would be taken for a program that gives up too early.
type Flaky struct {
	next http.RoundTripper
	part float64

	mu    sync.Mutex
	rnd   *rand.Rand     // guarded by mu
	harms map[string]int // guarded by mu; in a row, by what is asked for
}

// harmsInARow is how often the same request is harmed before it is let through;
// the program tries ten times.
const harmsInARow = 5

// NewFlaky harms a part, from 0 to 1, of what goes to next.
func NewFlaky(next http.RoundTripper, part float64, seed uint64) *Flaky {
	return &Flaky{next: next, part: part, rnd: rand.New(rand.NewPCG(seed, 1)), harms: map[string]int{}}
}

var errLost = errors.New("the answer was lost")

// RoundTrip sends the request on, or harms it.
func (f *Flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	harm, kind := f.draw(r.Method + " " + r.URL.RequestURI())
	if !harm {
		return f.next.RoundTrip(r)
	}
	switch kind {
	case 0:
		return Answer(r, http.StatusServiceUnavailable, "SlowDown"), nil
	case 1:
		return Answer(r, http.StatusInternalServerError, "InternalError"), nil
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if kind == 2 || resp.ContentLength <= 1 {
		resp.Body.Close()
		return nil, errLost
	}
	resp.Body = cut(resp.Body, resp.ContentLength/2)
	return resp, nil
}

// draw says whether to do harm to what is asked for, and which.
func (f *Flaky) draw(asked string) (harm bool, kind int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	harm, kind = f.rnd.Float64() < f.part, f.rnd.IntN(4)
	if !harm || f.harms[asked] == harmsInARow {
		delete(f.harms, asked)
		return false, 0
	}
	f.harms[asked]++
	return true, kind
}

// Answer makes a response of the server's with an S3 error in it.
func Answer(r *http.Request, status int, code string) *http.Response {
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made by the test</Message></Error>`, code)
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	header := http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {"TESTREQUEST"}}
	if r.Method == http.MethodHead {
		body = ""
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// cut makes a body fail after n bytes.
func cut(body io.ReadCloser, n int64) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, n), broken{}), body}
}

// broken is where a connection broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
