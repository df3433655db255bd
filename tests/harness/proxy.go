package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// Request is one request that went through a [Proxy].
type Request struct {
	Op     string // S3's name of the operation
	Bucket string
	Key    string
	Query  string
	Header http.Header
	Length int64 // of the body; -1 if unknown
	Status int   // 0 if there was no answer
	Start  time.Time
}

func (r Request) String() string {
	return fmt.Sprintf("%s %s/%s?%s %d", r.Op, r.Bucket, r.Key, r.Query, r.Status)
}

// Proxy stands between clients and a [Server]. It keeps a list of requests, and
// can be told to do harm to them.
type Proxy struct {
	listener net.Listener
	server   *http.Server
	direct   *http.Transport

	mu       sync.Mutex
	requests []Request         // guarded by mu
	harm     http.RoundTripper // guarded by mu; nil: none
}

func newProxy(socket string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the proxy's port: %w", err)
	}
	p := &Proxy{listener: listener, direct: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 256,
		DisableCompression:  true,
		ReadBufferSize:      256 << 10,
		WriteBufferSize:     256 << 10,
	}}
	quiet := log.New(io.Discard, "", 0)
	forward := &httputil.ReverseProxy{
		// The signature covers the Host header: it must arrive as it was sent.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "versitygw"
			r.Out.Host = r.In.Host
		},
		Transport:     p,
		FlushInterval: -1,
		BufferPool:    &copyBuffers{},
		ErrorLog:      quiet,
		// A server that is down looks like one that closes the connection.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = &http.Server{Handler: forward, ErrorLog: quiet}
	go p.server.Serve(listener)
	return p, nil
}

// Addr is the host:port clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Upstream sends requests to the server unharmed: what a RoundTripper given to
// [Proxy.Harm] calls for those it lets through.
func (p *Proxy) Upstream() http.RoundTripper { return p.direct }

// Harm sends all further requests through rt; nil ends the harm.
func (p *Proxy) Harm(rt http.RoundTripper) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harm = rt
}

// RoundTrip notes the request and sends it on.
func (p *Proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	seen := describe(r)
	p.mu.Lock()
	i := len(p.requests)
	p.requests = append(p.requests, seen)
	rt := p.harm
	p.mu.Unlock()
	if rt == nil {
		rt = p.direct
	}
	resp, err := rt.RoundTrip(r)
	if err == nil {
		p.mu.Lock()
		if i < len(p.requests) && p.requests[i].Start.Equal(seen.Start) {
			p.requests[i].Status = resp.StatusCode
		}
		p.mu.Unlock()
	}
	return resp, err
}

// OneRequestEach makes each connection end with the answer to its first request.
func (p *Proxy) OneRequestEach() { p.server.SetKeepAlivesEnabled(false) }

// Requests returns those since the last Reset, in the order they came.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Counts returns how many requests of each operation came since the last Reset.
func (p *Proxy) Counts() map[string]int {
	counts := map[string]int{}
	for _, r := range p.Requests() {
		counts[r.Op]++
	}
	return counts
}

// Reset forgets the requests seen so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

func (p *Proxy) close() error {
	err := p.server.Close()
	p.direct.CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// describe names what a path-style request asks for.
func describe(r *http.Request) Request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return Request{
		Op: operation(r, key), Bucket: bucket, Key: key, Query: r.URL.RawQuery,
		Header: r.Header.Clone(), Length: r.ContentLength, Start: time.Now(),
	}
}

// operation is S3's name for a request, from the tables of its API reference.
func operation(r *http.Request, key string) string {
	q := r.URL.Query()
	copies := r.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case key == "":
		return bucketOperation(r.Method, q.Has)
	case r.Method == http.MethodPut && q.Has("uploadId") && copies:
		return "UploadPartCopy"
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return "UploadPart"
	case r.Method == http.MethodPut && copies:
		return "CopyObject"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case q.Has("tagging"):
		return title(r.Method) + "ObjectTagging"
	}
	return title(r.Method) + "Object"
}

func bucketOperation(method string, has func(string) bool) string {
	switch {
	case method == http.MethodPost && has("delete"):
		return "DeleteObjects"
	case method == http.MethodGet && has("uploads"):
		return "ListMultipartUploads"
	case method == http.MethodGet && has("list-type"):
		return "ListObjectsV2"
	case method == http.MethodGet && has("versions"):
		return "ListObjectVersions"
	}
	for _, part := range []string{"cors", "versioning", "policy", "policyStatus", "location", "tagging"} {
		if has(part) {
			return title(method) + "Bucket" + title(part)
		}
	}
	if method == http.MethodGet {
		return "ListObjects"
	}
	return title(method) + "Bucket"
}

// title makes Get of GET and Cors of cors.
func title(s string) string { return strings.ToUpper(s[:1]) + strings.ToLower(s[1:]) }

// copyBuffers lends the reverse proxy its copy buffers.
type copyBuffers struct{ pool sync.Pool }

func (c *copyBuffers) Get() []byte {
	if b, ok := c.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 256<<10)
}

func (c *copyBuffers) Put(b []byte) { c.pool.Put(&b) }
