package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// dripping lets one byte a second through in each direction: enough that the
// server is not silent, and never enough that anything is done. Each request
// moves, so none is given up for standing still.
type dripping struct{ next http.RoundTripper }

func (d dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = drip{r.Body, r}
	}
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = drip{resp.Body, r}
	return resp, nil
}

type drip struct {
	io.ReadCloser
	request *http.Request
}

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return d.ReadCloser.Read(p[:1])
	case <-d.request.Context().Done():
		return 0, d.request.Context().Err()
	}
}

// A server that drips a byte a second: programs that wait for it can be
// stopped, df and status answer, umount says what it waits for when its time is up;
// and when the server is well again, so is the mount.
func TestDrippingServerHangsNobody(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	big := harness.Noise(1, 20<<20)
	client.Put(t, "big", big)
	client.Put(t, "small", harness.Noise(2, 5000))
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	if _, err := os.ReadDir(m.Dir); err != nil {
		t.Fatal(err)
	}
	writer := startWriter(t, m.Path("written"))
	s.Proxy.Harm(dripping{s.Proxy.Upstream()})
	t.Run("close is stopped", func(t *testing.T) { writer.stopInClose(t, s) })
	for _, row := range []struct {
		what string
		do   []string
	}{
		{"cat of a large file", []string{"cat", m.Path("big")}},
		{"cat of a small file", []string{"cat", m.Path("small")}},
		{"ls", []string{"ls", m.Path("unknown")}},
		{"cp", []string{"cp", "/bin/true", m.Path("copy")}},
		{"mkdir", []string{"mkdir", m.Path("dir")}},
		{"mv", []string{"mv", m.Path("small"), m.Path("moved")}},
		{"rm", []string{"rm", m.Path("big")}},
	} {
		t.Run(row.what+" is stopped", func(t *testing.T) { stopped(t, 3*time.Second, row.do...) })
	}
	t.Run("df and status answer", func(t *testing.T) { stillAnswers(t, m) })
	t.Run("umount says what it waits for", func(t *testing.T) {
		umountEnds(t, m, 8, "/written (", "--timeout", "5s")
	})
	s.Proxy.Harm(nil)
	if got, err := os.ReadFile(m.Path("afterwards")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a file that is not there: %d bytes, %v", len(got), err)
	}
	if err := os.WriteFile(m.Path("afterwards"), big, 0o644); err != nil {
		t.Errorf("writing afterwards: %v", err)
	}
}

// writer is a program that has a file open and waits for the word to write to it
// and to close it: then it waits in close and nowhere else.
type writer struct {
	*exec.Cmd
	word io.Writer
}

func startWriter(t *testing.T, path string) writer {
	t.Helper()
	cmd := exec.Command("sh", "-c", `exec 3>"$0"; echo open; read go; head -c 100000 /dev/zero >&3`, path)
	word, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if _, err := io.ReadFull(said, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return writer{cmd, word}
}

// stopInClose has it write, and stops it in close, which it must obey before the
// request could have ended by itself.
func (w writer) stopInClose(t *testing.T, s *harness.Server) {
	t.Helper()
	s.Proxy.Reset()
	fmt.Fprintln(w.word, "go")
	for deadline := time.Now().Add(time.Minute); s.Proxy.Counts()["PutObject"] == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("close does not save")
		}
	}
	time.Sleep(time.Second)
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, hang, func() {
		if w.Wait() == nil {
			t.Error("close came to its end: the server is well")
		}
	})
}

// umount of a mount that has nothing unsaved ends while the server drips, though
// a read is still under way.
func TestUmountEndsThoughTheServerDrips(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "big", harness.Noise(1, 20<<20))
	m := s.Mount(t, client.Bucket)
	if _, err := os.ReadDir(m.Dir); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Harm(dripping{s.Proxy.Upstream()})
	defer s.Proxy.Harm(nil)
	stopped(t, 3*time.Second, "cat", m.Path("big"))
	within(t, umountBound, func() { m.Unmount(t) })
}

// The first page of a listing comes, and the second never does: ls can still be
// stopped.
func TestListingThatStopsInTheMiddleHangsNobody(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "wide/", nil)
	m := s.Mount(t, client.Bucket)
	if _, err := os.Stat(m.Path("wide")); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Bool
	s.Proxy.Harm(answering{next: s.Proxy.Upstream(), answer: func(r *http.Request) (string, bool) {
		if !listing(r) || r.URL.Query().Get("prefix") != "wide/" {
			return "", false
		}
		if !r.URL.Query().Has("continuation-token") {
			return page("wide/", 0, 1000, "next"), true
		}
		asked.Store(true)
		<-r.Context().Done()
		return "", true
	}})
	defer s.Proxy.Harm(nil)
	stopped(t, 3*time.Second, "ls", "-U", m.Path("wide"))
	if !asked.Load() {
		t.Error("the second page was never asked for: the test proves nothing")
	}
}

// answering answers some requests by a document of the test's.
type answering struct {
	next   http.RoundTripper
	answer func(*http.Request) (body string, ok bool)
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, ok := a.answer(r)
	if !ok {
		return a.next.RoundTrip(r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/xml"}}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// page is a page of a listing with n keys from the i-th on, and the token of the
// page after it, if there is one.
func page(prefix string, i, n int, token string) string {
	var b strings.Builder
	b.WriteString("<ListBucketResult>")
	for ; n > 0; n-- {
		fmt.Fprintf(&b, "<Contents><Key>%s%09d</Key><Size>1</Size><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag></Contents>", prefix, i)
		i++
	}
	fmt.Fprintf(&b, "<IsTruncated>%v</IsTruncated>", token != "")
	if token != "" {
		fmt.Fprintf(&b, "<NextContinuationToken>%s</NextContinuationToken>", token)
	}
	b.WriteString("</ListBucketResult>")
	return b.String()
}

// stopped runs a program that can't come to its end and stops it after a
// second, which it must obey within d.
func stopped(t *testing.T, d time.Duration, program ...string) {
	t.Helper()
	quickly(t, d, func() {
		r := harness.Run(exec.Command("timeout", append([]string{"1"}, program...)...))
		if r.Status == 0 {
			t.Errorf("%q came to its end: the server did not drip", program)
		}
	})
}
