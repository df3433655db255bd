package s3test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Transport is an [http.RoundTripper] that fails by rules, between a client and
// a server. It is safe for concurrent use. Set its fields before its first use.
type Transport struct {
	Below http.RoundTripper // nil is http.DefaultTransport
	Seed  uint64            // of the draws for WireRule.P
	Rules []WireRule        // the first that fires decides

	mu    sync.Mutex
	fired []int      // guarded by mu; how often each rule matched
	rand  *rand.Rand // guarded by mu
	count int        // guarded by mu
}

// WireRule makes some requests fail. Its zero fields match everything.
type WireRule struct {
	Match func(*http.Request) bool
	Nth   int     // as Rule.Nth
	Times int     // as Rule.Times
	P     float64 // as Rule.P
	Fault WireFault
}

// WireAction is what goes wrong on the wire.
type WireAction string

// The actions.
const (
	WirePass     WireAction = ""         // nothing
	WireReset    WireAction = "reset"    // the connection breaks before the request is sent
	WireDrop     WireAction = "drop"     // the connection breaks before the answer to a request that was carried out
	WireStatus   WireAction = "status"   // answered by Status, Code, Header and Body, and not carried out
	WireReplace  WireAction = "replace"  // carried out, and then answered so
	WireHang     WireAction = "hang"     // no answer until the request's context ends
	WireStall    WireAction = "stall"    // the answer stops after After bytes until the request's context ends
	WireDrip     WireAction = "drip"     // the answer comes byte by byte, with Delay before each
	WireCut      WireAction = "cut"      // the answer breaks off after After bytes
	WireTruncate WireAction = "truncate" // the answer ends after After bytes as if it were whole
	WireFlip     WireAction = "flip"     // the lowest bit of byte After of the answer is inverted
	WireFlipSent WireAction = "flipsent" // the same of what is sent
	WireLength   WireAction = "length"   // the answer announces After bytes more than it has
)

// WireFault is what happens to one request.
type WireFault struct {
	Do     WireAction
	After  int64
	Delay  time.Duration // before each byte with WireDrip, otherwise before sending
	Status int           // 0 is 200
	Code   string        // of S3's error document, if Body is empty
	Header http.Header
	Body   string
}

var (
	errReset = errors.New("connection reset by the test")
	errCut   = fmt.Errorf("cut by the test: %w", io.ErrUnexpectedEOF)
)

// Requests returns how many requests there were.
func (t *Transport) Requests() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// fault counts a request and returns what is to happen to it.
func (t *Transport) fault(r *http.Request) WireFault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if t.rand == nil {
		t.rand, t.fired = rand.New(rand.NewPCG(t.Seed, 0)), make([]int, len(t.Rules))
	}
	for i, rule := range t.Rules {
		if rule.Match != nil && !rule.Match(r) {
			continue
		}
		t.fired[i]++
		if isTurn(rule.Nth, rule.Times, t.fired[i]) && (rule.P == 0 || t.rand.Float64() < rule.P) {
			return rule.Fault
		}
	}
	return WireFault{}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	fault := t.fault(r)
	if fault.Delay > 0 && fault.Do != WireDrip {
		if err := sleep(r.Context(), fault.Delay); err != nil {
			return nil, err
		}
	}
	switch fault.Do {
	case WireReset:
		return nil, errReset
	case WireHang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case WireStatus:
		return fault.answer(r), nil
	case WireFlipSent:
		if err := fault.spoilSent(r); err != nil {
			return nil, err
		}
	}
	below := t.Below
	if below == nil {
		below = http.DefaultTransport
	}
	resp, err := below.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return fault.spoil(r, resp)
}

// spoil does to the answer what the fault asks for.
func (f WireFault) spoil(r *http.Request, resp *http.Response) (*http.Response, error) {
	switch f.Do {
	case WireDrop:
		resp.Body.Close()
		return nil, errReset
	case WireReplace:
		resp.Body.Close()
		return f.answer(r), nil
	case WireStall:
		stalled := func() error { <-r.Context().Done(); return r.Context().Err() }
		resp.Body = &wireBody{ReadCloser: resp.Body, left: f.After, end: stalled}
	case WireCut:
		resp.Body = &wireBody{ReadCloser: resp.Body, left: f.After, end: func() error { return errCut }}
	case WireTruncate:
		resp.Body = &wireBody{ReadCloser: resp.Body, left: f.After, end: func() error { return io.EOF }}
	case WireFlip:
		resp.Body = &flipBody{ReadCloser: resp.Body, at: f.After}
	case WireDrip:
		resp.Body = &dripBody{ReadCloser: resp.Body, r: r, delay: f.Delay}
	case WireLength:
		resp.ContentLength += f.After
		resp.Header.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	return resp, nil
}

// spoilSent inverts a bit of the request's body.
func (f WireFault) spoilSent(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if f.After < int64(len(data)) {
		data[f.After] ^= 1
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// answer makes up an answer.
func (f WireFault) answer(r *http.Request) *http.Response {
	status, body := f.Status, f.Body
	if status == 0 {
		status = http.StatusOK
	}
	if body == "" && f.Code != "" && r.Method != http.MethodHead {
		body = fmt.Sprintf("<Error><Code>%s</Code><Message>the test says so</Message></Error>", f.Code)
	}
	header := f.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)), Request: r,
	}
}

// wireBody delivers some bytes and then ends in some way.
type wireBody struct {
	io.ReadCloser
	left int64
	end  func() error
}

func (b *wireBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.end()
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// dripBody delivers byte by byte.
type dripBody struct {
	io.ReadCloser
	r     *http.Request
	delay time.Duration
}

func (b *dripBody) Read(p []byte) (int, error) {
	if err := sleep(b.r.Context(), b.delay); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p[:min(len(p), 1)])
}
