package s3_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// wired returns a client of a server of m, through a transport that fails by rules.
func wired(t *testing.T, m *s3test.Mem, rules ...s3test.WireRule) (*s3.Client, *s3test.Transport) {
	t.Helper()
	wire := &s3test.Transport{Rules: rules}
	return client(t, m, through(wire)), wire
}

func through(wire *s3test.Transport) func(*s3.Config) {
	return func(c *s3.Config) {
		c.WrapTransport = func(below http.RoundTripper) http.RoundTripper {
			wire.Below = below
			return wire
		}
	}
}

// retried is b with retries that take no time, and go on where chance is against
// them: all of ten attempts at what fails one time in three do so once in 60,000
// times.
func retried(b s3.Bucket) s3.Bucket {
	clock := newClock()
	return s3.Retry(b, s3.RetryConfig{Attempts: 50, MaxDelay: time.Millisecond, Now: clock.now, Sleep: clock.sleep})
}

func isMethod(methods ...string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(strings.Join(methods, " "), r.Method) }
}

func download(r *http.Request) bool { return r.Method == "GET" && r.URL.RawQuery == "x-id=GetObject" }

// silent matches what S3 works on before it answers, after 200 was sent.
func silent(r *http.Request) bool {
	q := r.URL.Query()
	return r.Header.Get("X-Amz-Copy-Source") != "" || r.Method == "POST" && q.Has("uploadId")
}

// TestRetriedClientConformsUnderWireFaults runs the whole suite while one
// request of six goes wrong on the wire, in all ways that a repetition heals.
func TestRetriedClientConformsUnderWireFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	begins := func(r *http.Request) bool { return r.URL.Query().Has("uploads") && r.Method == "POST" }
	rules := []s3test.WireRule{
		{P: 0.03, Fault: s3test.WireFault{Do: s3test.WireReset}},
		{P: 0.02, Fault: s3test.WireFault{Do: s3test.WireStatus, Status: 503, Code: "SlowDown"}},
		{P: 0.02, Fault: s3test.WireFault{Do: s3test.WireStatus, Status: 500, Code: "InternalError"}},
		{P: 0.01, Fault: s3test.WireFault{Do: s3test.WireStatus, Status: 502, Body: "<html>Bad Gateway</html>"}},
		{P: 0.01, Fault: s3test.WireFault{Do: s3test.WireStatus, Status: 400, Code: "RequestTimeout"}},
		{Match: begins}, // an upload that nobody knows would stay behind
		{P: 0.05, Fault: s3test.WireFault{Do: s3test.WireDrop}},
		{Match: silent, P: 0.1, Fault: s3test.WireFault{Do: s3test.WireReplace, Code: "InternalError"}},
		{Match: silent, P: 0.1, Fault: s3test.WireFault{Do: s3test.WireReplace}},
		{Match: silent, P: 0.05, Fault: s3test.WireFault{Do: s3test.WireReplace, Body: "   <?xml"}},
		{Match: isMethod("GET"), P: 0.1, Fault: s3test.WireFault{Do: s3test.WireCut, After: 4}},
		{Match: download, P: 0.05, Fault: s3test.WireFault{Do: s3test.WireTruncate, After: 4}},
	}
	s3test.Run(t, func(t *testing.T) s3.Bucket {
		seed++
		wire := &s3test.Transport{Seed: seed, Rules: rules}
		return retried(client(t, s3test.NewMem(s3test.MemConfig{MinPartSize: 1}), through(wire)))
	}, s3test.Features{SmallParts: true, NoVersions: true, LongListing: 300})
}

func TestDamageOnTheWayIsNoticed(t *testing.T) {
	content := strings.Repeat("content ", 1000)
	amazon := func(t *testing.T, fault s3test.WireFault, method string) (s3.Bucket, *s3test.Mem) {
		m := s3test.NewMem(s3test.MemConfig{Checksums: true})
		m.PutBytes("a", []byte(content))
		wire := &s3test.Transport{Rules: []s3test.WireRule{{Match: isMethod(method), Nth: 1, Fault: fault}}}
		return open(t, tlsServer(m), through(wire), func(c *s3.Config) { c.Checksums = s3.Always }), m
	}
	for _, at := range []int64{0, 1, 4000, 7999} {
		b, _ := amazon(t, s3test.WireFault{Do: s3test.WireFlip, After: at}, "GET")
		if got, err := readAll(t, b, "a", s3.GetOptions{}); !errors.Is(err, s3.ErrCorrupt) {
			t.Errorf("byte %d of a download: %d bytes, %v", at, len(got), err)
		}
		// Who asks for no more bytes than there are must learn it, too.
		b, _ = amazon(t, s3test.WireFault{Do: s3test.WireFlip, After: at}, "GET")
		body, err := b.Get(t.Context(), "a", s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, len(content))); !errors.Is(err, s3.ErrCorrupt) {
			t.Errorf("byte %d of a download of known length: %v", at, err)
		}
		body.Close()
		// Before the content stands its length, "1f40\r\n".
		b, m := amazon(t, s3test.WireFault{Do: s3test.WireFlipSent, After: at + 6}, "PUT")
		if _, err := b.Put(t.Context(), "b", strings.NewReader(content), s3.PutOptions{}); !errors.Is(err, s3.ErrCorrupt) {
			t.Errorf("byte %d of an upload: %v", at, err)
		}
		if _, err := retried(b).Put(t.Context(), "b", strings.NewReader(content), s3.PutOptions{}); err != nil {
			t.Error(err)
		}
		if got, _ := m.Bytes("b"); string(got) != content {
			t.Error("the repetition did not heal it")
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	tests := map[string]s3test.WireFault{
		"200 that holds an error": {Do: s3test.WireReplace, Code: "InternalError"},
		"empty 200":               {Do: s3test.WireReplace},
		"200 that breaks off":     {Do: s3test.WireReplace, Body: "<?xml version='1.0'?><CopyObjectResult><ETag>"},
		"200 of something else":   {Do: s3test.WireReplace, Body: "<html>welcome to the hotel</html>"},
	}
	for name, fault := range tests {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		m.PutBytes("source", []byte("x"))
		c, _ := wired(t, m, s3test.WireRule{Match: silent, Fault: fault})
		if _, err := c.Copy(t.Context(), s3.Source{Key: "source"}, "copy", s3.CopyOptions{}); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("%s of Copy: %v", name, err)
		}
		u, err := c.NewUpload(t.Context(), "b", s3.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.CopyPart(t.Context(), 1, s3.Source{Key: "source"}, s3.Range{Length: 1}); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("%s of CopyPart: %v", name, err)
		}
		if len(u.Parts()) != 0 {
			t.Errorf("%s of CopyPart: parts %v", name, u.Parts())
		}
		if _, err := u.Part(t.Context(), 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Complete(t.Context()); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("%s of Complete: %v", name, err)
		}
	}
}

func TestPutWithoutETagIsNotAcknowledged(t *testing.T) {
	c, _ := wired(t, s3test.NewMem(s3test.MemConfig{}), s3test.WireRule{Match: isMethod("PUT"), Fault: s3test.WireFault{Do: s3test.WireReplace}})
	if _, err := c.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{}); !errors.Is(err, s3.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestWebPagesAreNoAnswers sends what a proxy or a hotel's network answers to
// everything, with status 200.
func TestWebPagesAreNoAnswers(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{})
	m.PutBytes("a", []byte("x"))
	u, err := m.NewUpload(t.Context(), "b", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"<html><body>Log in</body></html>", "Log in", ""} {
		c, _ := wired(t, m, s3test.WireRule{Fault: s3test.WireFault{Do: s3test.WireStatus, Body: page}})
		ctx := t.Context()
		calls := map[string]func() error{
			"Head":         func() error { _, err := c.Head(ctx, "a"); return err },
			"Get":          func() error { _, err := c.Get(ctx, "a", s3.GetOptions{}); return err },
			"ListPage":     func() error { _, err := c.ListPage(ctx, s3.ListInput{}); return err },
			"Put":          func() error { _, err := c.Put(ctx, "a", strings.NewReader("y"), s3.PutOptions{}); return err },
			"Copy":         func() error { _, err := c.Copy(ctx, s3.Source{Key: "a"}, "c", s3.CopyOptions{}); return err },
			"Delete many":  func() error { return c.Delete(ctx, s3.Target{Key: "a"}, s3.Target{Key: "b"}) },
			"NewUpload":    func() error { _, err := c.NewUpload(ctx, "b", s3.PutOptions{}); return err },
			"ResumeUpload": func() error { _, err := c.ResumeUpload(ctx, "b", u.ID(), s3.PutOptions{}); return err },
			"ListUploads":  func() error { _, err := c.ListUploads(ctx, ""); return err },
			"GetCORS":      func() error { _, err := c.GetCORS(ctx); return err },
			"GetTags":      func() error { _, err := c.GetTags(ctx, "a", ""); return err },
			"Versioning":   func() error { _, err := c.Versioning(ctx); return err },
			"ListVersions": func() error { _, err := c.ListVersions(ctx, s3.VersionsInput{}); return err },
			"Check":        func() error { return c.Check(ctx) },
		}
		if page != "" { // these have no content when they succeed
			calls["Delete"] = func() error { return c.Delete(ctx, s3.Target{Key: "a"}) }
			calls["PutCORS"] = func() error { return c.PutCORS(ctx, []s3.CORSRule{{}}) }
			calls["DeleteCORS"] = func() error { return c.DeleteCORS(ctx) }
			calls["PutTags"] = func() error { return c.PutTags(ctx, "a", "", nil) }
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, s3.ErrUnavailable) {
				t.Errorf("%s answered by %q: %v", name, page, err)
			}
		}
	}
}

func TestBodiesThatDoNotKeepTheirPromise(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{})
	m.PutBytes("a", []byte("0123456789"))
	part := s3.GetOptions{Range: s3.Range{Offset: 2, Length: 5}}
	whole := http.Header{"Etag": {`"x"`}, "Content-Length": {"10"}}
	ranged := func(text string) http.Header {
		return http.Header{"Etag": {`"x"`}, "Content-Range": {text}}
	}
	tests := []struct {
		name  string
		fault s3test.WireFault
		o     s3.GetOptions
		kind  error
		got   string
	}{
		{"truncated", s3test.WireFault{Do: s3test.WireTruncate, After: 3}, s3.GetOptions{}, s3.ErrUnavailable, "012"},
		{"cut", s3test.WireFault{Do: s3test.WireCut, After: 3}, s3.GetOptions{}, s3.ErrUnavailable, "012"},
		{"announced too long", s3test.WireFault{Do: s3test.WireLength, After: 3}, s3.GetOptions{}, s3.ErrUnavailable, "0123456789"},
		{"announced too short", s3test.WireFault{Do: s3test.WireLength, After: -3}, s3.GetOptions{}, s3.ErrCorrupt, ""},
		{"whole instead of range", s3test.WireFault{Do: s3test.WireStatus, Body: "0123456789", Header: whole}, part, s3.ErrCorrupt, ""},
		{"another range", s3test.WireFault{Do: s3test.WireStatus, Status: 206, Body: "01234", Header: ranged("bytes 0-4/10")}, part, s3.ErrCorrupt, ""},
		{"shorter range", s3test.WireFault{Do: s3test.WireStatus, Status: 206, Body: "23", Header: ranged("bytes 2-3/10")}, part, s3.ErrCorrupt, ""},
		{"range without size", s3test.WireFault{Do: s3test.WireStatus, Status: 206, Body: "23456", Header: ranged("bytes 2-6/*")}, part, s3.ErrCorrupt, ""},
		{"nonsense", s3test.WireFault{Do: s3test.WireStatus, Status: 206, Body: "23456", Header: ranged("bytes 6-2/-1")}, part, s3.ErrCorrupt, ""},
		{
			"whole for its start",
			s3test.WireFault{Do: s3test.WireStatus, Body: "0123456789", Header: whole},
			s3.GetOptions{Range: s3.Range{Length: 4}},
			nil, "0123",
		},
	}
	for _, test := range tests {
		test.fault.Header = withLength(test.fault)
		c, _ := wired(t, m, s3test.WireRule{Match: isMethod("GET"), Fault: test.fault})
		got, err := readAll(t, c, "a", test.o)
		if !errors.Is(err, test.kind) || got != test.got {
			t.Errorf("%s: got %q, %v; want %q, %v", test.name, got, err, test.got, test.kind)
		}
	}
}

// withLength adds what a server always says.
func withLength(f s3test.WireFault) http.Header {
	h := f.Header.Clone()
	if h != nil {
		h.Set("Content-Length", strings.TrimSpace(itoa(len(f.Body))))
	}
	return h
}

// direct is a server without a network before it, so that time may be a bubble's.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	d.ServeHTTP(recorder, r)
	answer := recorder.Result()
	answer.Body = endingBody{answer.Body, r.Context()}
	return answer, nil
}

// endingBody ends with its request, as that of a connection does.
type endingBody struct {
	io.ReadCloser
	ctx ctx
}

func (b endingBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

func TestStalledRequestsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = 20 * time.Second
		m := s3test.NewMem(s3test.MemConfig{})
		m.PutBytes("a", []byte("0123456789"))
		failing := func(fault s3test.WireFault) *s3.Client {
			wire := &s3test.Transport{Below: direct{&s3test.Server{Name: "bucket", Bucket: m}}, Rules: []s3test.WireRule{{Fault: fault}}}
			c, err := s3.Open(s3.Config{
				Bucket: "bucket", Endpoint: "http://server", Credentials: aws.CredentialsProviderFunc(staticKey),
				WrapTransport: func(http.RoundTripper) http.RoundTripper { return wire },
			})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		tests := map[string]s3test.WireFault{
			"no answer":           {Do: s3test.WireHang},
			"stalled body":        {Do: s3test.WireStall, After: 4},
			"stalled at its end":  {Do: s3test.WireStall, After: 9},
			"stalled at its head": {Do: s3test.WireStall},
		}
		for name, fault := range tests {
			c := failing(fault)
			start := time.Now()
			_, err := readAll(t, c, "a", s3.GetOptions{})
			if took := time.Since(start); !errors.Is(err, s3.ErrUnavailable) || took != stall {
				t.Errorf("%s: after %v: %v", name, took, err)
			}
			if _, err := c.Put(t.Context(), "b", strings.NewReader("x"), s3.PutOptions{}); name == "no answer" && !errors.Is(err, s3.ErrUnavailable) {
				t.Errorf("put: %v", err)
			}
		}
		// What moves may be slow.
		start := time.Now()
		got, err := readAll(t, failing(s3test.WireFault{Do: s3test.WireDrip, Delay: stall - time.Second}), "a", s3.GetOptions{})
		if took := time.Since(start); err != nil || got != "0123456789" || took < 5*stall {
			t.Errorf("dripping body: %q after %v, %v", got, took, err)
		}
		// A reader that takes its time is no stall.
		body, err := failing(s3test.WireFault{}).Get(t.Context(), "a", s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		for range 5 {
			time.Sleep(time.Hour)
			if _, err := io.ReadFull(body, make([]byte, 2)); err != nil {
				t.Errorf("slow reader: %v", err)
			}
		}
	})
}

func TestNothingReadsABodyAfterPart(t *testing.T) {
	// The server answers before it has read anything, so that the transport is
	// still sending when Part returns. The race detector tells who reads then.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	u, err := open(t, server).NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("x", 8<<20)
	for n := range 20 {
		body := &countingBody{ReadSeeker: strings.NewReader(data)}
		if _, err := u.Part(t.Context(), n+1, body); err == nil {
			t.Fatal("no error")
		}
		body.reads = 0 // unsynchronised on purpose
	}
}

type countingBody struct {
	io.ReadSeeker
	reads int
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.reads++
	return b.ReadSeeker.Read(p)
}

func TestDeadIdleConnectionIsReplacedAtOnce(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{})
	c, wire := wired(t, m, s3test.WireRule{Nth: 1, Fault: s3test.WireFault{Do: s3test.WireReset}})
	slept := time.Duration(0)
	b := s3.Retry(c, s3.RetryConfig{Sleep: func(_ ctx, d time.Duration) error { slept += d; return nil }})
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{}); err != nil || slept != 0 || wire.Requests() != 2 {
		t.Errorf("%v after %d requests and %v", err, wire.Requests(), slept)
	}
}
