package capi_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/creds/capi"
	"github.com/cgs3fs/cgs3fs/creds/capi/capitest"
)

// behindTLS makes the login of w one at an address with a certificate that
// nobody knows, which stands before the foundation.
func behindTLS(t *testing.T, w *world) *httptest.Server {
	t.Helper()
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(w.URL, "http://")
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		rw.WriteHeader(res.StatusCode)
		io.Copy(rw, res.Body) //nolint:errcheck // the client went away
	}))
	front.Config.ErrorLog = nil
	front.StartTLS()
	t.Cleanup(front.Close)
	w.setConfig(t, func(m map[string]any) { m["Target"] = front.URL })
	return front
}

func TestUnknownCertificateIsExplained(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	behindTLS(t, w)
	_, err := w.open(t).Instances(t.Context(), w.space)
	var e *capi.Error
	if !errors.As(err, &e) || !errors.Is(err, capi.ErrFailed) || !strings.Contains(e.Hint(), "SSL_CERT_FILE") || len(w.slept) > 0 {
		t.Errorf("Instances = %v after %d pauses, want a hint at SSL_CERT_FILE at once", err, len(w.slept))
	}
}

func TestLoginThatSkipsCertificates(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	behindTLS(t, w)
	w.setConfig(t, func(m map[string]any) { m["SSLDisabled"] = true })
	if _, err := w.open(t).Instances(t.Context(), w.space); reached(w) == 0 {
		t.Errorf("the foundation was not reached: %v", err)
	}
}

// TestCertificateOfAnAgency runs itself, because a process reads the
// certificates it trusts only once.
func TestCertificateOfAnAgency(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	if home := os.Getenv("CGS3FS_TEST_HOME"); home != "" {
		c, err := capi.Open(capi.Config{Getenv: func(string) string { return "" }, HomeDir: home})
		if err != nil {
			t.Fatal(err)
		}
		c.Instances(t.Context(), "any") //nolint:errcheck // the parent sees whether it arrived
		return
	}
	front := behindTLS(t, w)
	file := filepath.Join(t.TempDir(), "agency.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCertificateOfAnAgency$")
	cmd.Env = append(os.Environ(), "CGS3FS_TEST_HOME="+w.home, "SSL_CERT_FILE="+file)
	if out, err := cmd.CombinedOutput(); err != nil || reached(w) == 0 {
		t.Errorf("the foundation was not reached: %v\n%s", err, out)
	}
}

func TestProxyIsUsed(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	if home := os.Getenv("CGS3FS_TEST_HOME"); home != "" {
		c, err := capi.Open(capi.Config{Getenv: func(string) string { return "" }, HomeDir: home})
		if err != nil {
			t.Fatal(err)
		}
		c.Instances(t.Context(), "any") //nolint:errcheck // the parent sees whether it arrived
		return
	}
	// The foundation itself plays the proxy: it is asked for a whole URL.
	w.setConfig(t, func(m map[string]any) { m["Target"] = "http://api.agency.example" })
	cmd := exec.Command(os.Args[0], "-test.run=^TestProxyIsUsed$")
	cmd.Env = append(os.Environ(), "CGS3FS_TEST_HOME="+w.home, "HTTP_PROXY="+w.URL, "NO_PROXY=")
	if out, err := cmd.CombinedOutput(); err != nil || reached(w) == 0 {
		t.Errorf("the proxy was not asked: %v\n%s", err, out)
	}
}

// reached counts the listings of services that the foundation was asked for.
func reached(w *world) int {
	n := 0
	for _, r := range w.Requests() {
		if r == "GET /v3/service_instances" {
			n++
		}
	}
	return n
}
