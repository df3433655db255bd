package cors

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// browser is a headless Chromium showing a page that does what it is told: it
// asks its own server for the next fetch to make, makes it, and tells what came
// of it.
type browser struct {
	t       *testing.T
	origin  string // of the page
	errands chan string
	results chan string
}

const page = `<!DOCTYPE html><meta charset="utf-8"><title>page of another site</title><script>
(async () => {
  for (;;) {
    const {method, url, headers, body} = await (await fetch('/next', {cache: 'no-store'})).json();
    let result;
    try {
      const r = await fetch(url, {method, headers, body, cache: 'no-store'});
      result = r.status + ' ' + r.headers.get('ETag') + ' ' + await r.text();
    } catch (e) {
      result = 'refused';
    }
    await fetch('/result', {method: 'POST', body: result});
  }
})();
</script>`

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (Debian's chromium)")
	}
	b := &browser{t: t, errands: make(chan string), results: make(chan string)}
	srv := httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(srv.Close)
	b.origin = srv.URL
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-port=0", "--user-data-dir="+profile(t), b.origin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its helpers too
		cmd.Wait()
		srv.CloseClientConnections()
	})
	return b
}

// profile is a directory for a browser, whose helpers may write there for a moment
// after they were killed.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgs3fs-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		deadline := time.Now().Add(30 * time.Second)
		for err := os.RemoveAll(dir); err != nil; err = os.RemoveAll(dir) {
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return dir
}

func (b *browser) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
	case "/next":
		select {
		case errand := <-b.errands:
			io.WriteString(w, errand)
		case <-r.Context().Done():
		}
	case "/result":
		result, err := io.ReadAll(r.Body)
		if err == nil {
			select {
			case b.results <- string(result):
			case <-r.Context().Done():
			}
		}
	default:
		http.NotFound(w, r)
	}
}

// fetch lets the page make a request and returns "refused", or what the page
// could see of the answer.
func (b *browser) fetch(errand string) string {
	b.t.Helper()
	patience := time.After(3 * time.Minute) // it may have to start first
	select {
	case b.errands <- errand:
	case <-patience:
		b.t.Fatal("the browser doesn't ask for work")
	}
	select {
	case result := <-b.results:
		return result
	case <-patience:
		b.t.Fatal("the browser doesn't answer")
	}
	return ""
}

func TestBrowserIsRefusedThenAllowedThenRefused(t *testing.T) {
	d := newDesk(t)
	d.Put(t, "hello.txt", []byte("hello from the bucket"))
	b := startBrowser(t)
	get := func() string {
		t.Helper()
		return b.fetch(fmt.Sprintf(`{"method": "GET", "url": %q}`, signedURL(t, d, "hello.txt")))
	}
	// A preflight is remembered for some seconds, so each PUT has its own key.
	put := func(key string) string {
		t.Helper()
		contentType := "application/json"
		in := &awss3.PutObjectInput{Bucket: &d.Bucket, Key: &key, ContentType: &contentType}
		signed, err := awss3.NewPresignClient(d.Client.Client).PresignPutObject(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return b.fetch(fmt.Sprintf(`{"method": "PUT", "url": %q, "headers": {"Content-Type": "application/json"}, "body": "{}"}`, signed.URL))
	}
	step := func(when, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s the page got %q, want %q", when, got, want)
		}
	}
	etag := *d.Head(t, "hello.txt").ETag

	step("before allow,", get(), "refused")
	d.cors("allow", b.origin, "--expose", "ETag", "--yes")
	step("after allow,", get(), "200 "+etag+" hello from the bucket")
	step("after allow of reading,", put("one"), "refused")
	d.cors("allow", b.origin, "--method", "PUT", "--header", "content-type", "--yes")
	if got := put("two"); got[:3] != "200" {
		t.Errorf("after allow of PUT the page got %q", got)
	}
	d.cors("test", "--origin", b.origin, "--method", "PUT", "--header", "content-type")
	d.cors("deny", b.origin, "--yes")
	step("after deny,", get(), "refused")
	step("after deny,", put("three"), "refused")

	for key, want := range map[string]bool{"one": false, "two": true, "three": false} {
		if d.Has(t, key) != want {
			t.Errorf("object %q is in the bucket: %v, want %v", key, !want, want)
		}
	}
}
