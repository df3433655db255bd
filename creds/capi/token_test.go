package capi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/creds/capi"
	"github.com/cgs3fs/cgs3fs/creds/capi/capitest"
)

func (w *world) config(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.home, ".cf", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) setConfig(t *testing.T, change func(map[string]any)) {
	t.Helper()
	all := w.config(t)
	change(all)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.home, ".cf", "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) renewals() int {
	return len(slices.DeleteFunc(w.Requests(), func(r string) bool { return r != "POST /oauth/token" }))
}

func TestTokenIsUsedWhileItIsValid(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	c := w.open(t)
	w.pass(8 * time.Minute)
	if _, err := c.Instances(t.Context(), w.space); err != nil || w.renewals() != 0 {
		t.Errorf("after 8 of 10 minutes: %d renewals, %v", w.renewals(), err)
	}
	w.pass(90 * time.Second) // half a minute before its end
	if _, err := c.Instances(t.Context(), w.space); err != nil || w.renewals() != 1 {
		t.Errorf("after 9.5 of 10 minutes: %d renewals, %v", w.renewals(), err)
	}
}

func TestRenewedSessionIsSaved(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		w := newWorld(t, capitest.Developer)
		w.RotateRefresh = rotate
		before := w.config(t)
		w.pass(time.Hour)
		for range 2 { // the second client finds what the first has saved
			if _, err := w.open(t).Instances(t.Context(), w.space); err != nil {
				t.Fatalf("rotate %v: %v", rotate, err)
			}
		}
		if w.renewals() != 1 {
			t.Errorf("rotate %v: %d renewals, want 1", rotate, w.renewals())
		}
		after := w.config(t)
		if (before["RefreshToken"] != after["RefreshToken"]) != rotate || before["AccessToken"] == after["AccessToken"] {
			t.Errorf("rotate %v: the tokens were not saved", rotate)
		}
		for _, all := range []map[string]any{before, after} {
			delete(all, "AccessToken")
			delete(all, "RefreshToken")
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("rotate %v: other fields changed: -before +after\n%s", rotate, diff)
		}
		dir := filepath.Join(w.home, ".cf")
		if info, err := os.Stat(filepath.Join(dir, "config.json")); err != nil || info.Mode() != 0o600 {
			t.Errorf("rotate %v: mode %v, %v", rotate, info.Mode(), err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("rotate %v: %v is left in the directory, %v", rotate, files, err)
		}
	}
}

func TestTokenThatCFRenewedMeanwhileIsTaken(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.RotateRefresh = true
	w.pass(time.Hour)
	c, err := capi.Open(capi.Config{
		Getenv: func(string) string { return "" }, HomeDir: w.home, Now: func() time.Time { return w.now },
		RunCF: func(context.Context) (string, error) { // fails, having renewed the session
			w.EndSessions()
			w.Login(t, w.home, user, w.space)
			return "", errors.New("exit status 1")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Instances(t.Context(), w.space); err != nil || w.renewals() != 0 {
		t.Errorf("%d renewals, %v", w.renewals(), err)
	}
}

func TestCFRenewsTheSession(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	bin := t.TempDir()
	w.Advance(time.Hour)
	w.now = w.now.Add(time.Hour)
	// A cf that prints a fresh token after noise, and fails if it is not run
	// quietly and at home.
	fresh := t.TempDir()
	w.Login(t, fresh, user, w.space)
	script := `#!/bin/sh
[ "$1" = oauth-token ] && [ "$CF_TRACE" = false ] && [ "$CF_COLOR" = false ] && [ "$LC_ALL" = C ] && [ "$CF_HOME" = "` + w.home + `" ] || exit 1
echo 'a line about a new version'
sed -n 's/.*"AccessToken": "\(.*\)",/\1/p' '` + fresh + `/.cf/config.json'
`
	if err := os.WriteFile(filepath.Join(bin, "cf"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w.env["PATH"] = bin
	if _, err := w.open(t).Instances(t.Context(), w.space); err != nil || w.renewals() != 0 {
		t.Errorf("%d renewals of our own, %v", w.renewals(), err)
	}
}

func TestTokenThatTheServerRefusesIsRenewed(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.ExpireTokens() // though it says it is valid
	if _, err := w.open(t).Instances(t.Context(), w.space); err != nil || w.renewals() != 1 {
		t.Errorf("%d renewals, %v", w.renewals(), err)
	}
}

func TestSessionThatIsOver(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.EndSessions()
	before := w.config(t)
	_, err := w.open(t).Instances(t.Context(), w.space)
	if !errors.Is(err, capi.ErrLoggedOut) || strings.Contains(err.Error(), "secret-refresh") {
		t.Errorf("error %v, want ErrLoggedOut without the token", err)
	}
	if diff := cmp.Diff(before, w.config(t)); diff != "" {
		t.Errorf("the config changed:\n%s", diff)
	}
	if files, err := os.ReadDir(filepath.Join(w.home, ".cf")); err != nil || len(files) != 1 {
		t.Errorf("%v is left in the directory, %v", files, err)
	}
}

// While the UAA answers us, cf logs in anew: what it has written stays.
func TestLoginDuringARenewalIsKept(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.RotateRefresh = true
	w.pass(time.Hour)
	var kept any
	c, err := capi.Open(capi.Config{
		Getenv: func(string) string { return "" }, HomeDir: w.home, Now: func() time.Time { return w.now },
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if r.URL.Path == "/oauth/token" {
				w.Login(t, w.home, user, w.space)
				kept = w.config(t)["RefreshToken"]
			}
			return res, err
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Instances(t.Context(), w.space); err != nil {
		t.Fatal(err)
	}
	if got := w.config(t)["RefreshToken"]; got != kept || w.renewals() != 1 {
		t.Errorf("after %d renewals the session is %v, want the new login's %v", w.renewals(), got, kept)
	}
}

func TestTokenGoesToNoOtherFoundation(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	c := w.open(t)
	other := newWorld(t, capitest.Developer)
	other.Login(t, w.home, user, other.space)
	_, err := c.Instances(t.Context(), w.space)
	if !errors.Is(err, capi.ErrLoggedOut) || !strings.Contains(err.Error(), other.URL) || len(w.Requests()) != 0 {
		t.Errorf("after a login elsewhere: %v, requests %v", err, w.Requests())
	}
}

func TestNoRenewalThatCannotBeSaved(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	w := newWorld(t, capitest.Developer)
	w.pass(time.Hour)
	dir := filepath.Join(w.home, ".cf")
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if _, err := w.open(t).Instances(t.Context(), w.space); !errors.Is(err, fs.ErrPermission) || w.renewals() != 0 {
		t.Errorf("%d renewals, %v, want none and a permission error", w.renewals(), err)
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.AddClient("ci", "s3cret-of-ci")
	space := w.AddSpace("sandbox-gsa", "ci", "ci=developer")
	w.LoginClient(t, w.home, "ci", space)
	if _, err := w.open(t).Instances(t.Context(), space); err != nil {
		t.Errorf("within its life: %v", err)
	}
	w.pass(time.Hour)
	_, err := w.open(t).Instances(t.Context(), space)
	if !errors.Is(err, capi.ErrLoggedOut) {
		t.Errorf("without the secret: %v, want ErrLoggedOut", err)
	}
	w.env["CF_USERNAME"], w.env["CF_PASSWORD"] = "ci", "s3cret-of-ci"
	if _, err := w.open(t).Instances(t.Context(), space); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	w.env["CF_PASSWORD"] = "wr0ng-secret"
	if _, err := w.open(t).Instances(t.Context(), space); !errors.Is(err, capi.ErrLoggedOut) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("with a wrong secret: %v, want ErrLoggedOut", err)
	}
}

func TestLoginsThatAreNone(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"logged out":     func(m map[string]any) { m["AccessToken"], m["RefreshToken"] = "", "" },
		"no API":         func(m map[string]any) { m["Target"] = "" },
		"an old version": func(m map[string]any) { m["ConfigVersion"] = 3 },
	} {
		w := newWorld(t, capitest.Developer)
		w.setConfig(t, change)
		_, err := capi.Open(capi.Config{Getenv: func(string) string { return "" }, HomeDir: w.home})
		if !errors.Is(err, capi.ErrLoggedOut) {
			t.Errorf("%s: Open = %v, want ErrLoggedOut", name, err)
		}
	}
	home := t.TempDir()
	none := func(name string) string { return map[string]string{"CF_HOME": home, "HOME": "/nonexistent"}[name] }
	if _, err := capi.Open(capi.Config{Getenv: none}); !errors.Is(err, capi.ErrLoggedOut) {
		t.Errorf("no file: Open = %v, want ErrLoggedOut", err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".cf"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".cf", "config.json"), []byte(`{"AccessToken":"t0psecret`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := capi.Open(capi.Config{Getenv: none}); !errors.Is(err, capi.ErrInvalid) || strings.Contains(err.Error(), "t0psecret") {
		t.Errorf("half a file: Open = %v, want ErrInvalid", err)
	}
}

func TestManyRenewAtOnceAndOneAsks(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.RotateRefresh = true
	w.pass(time.Hour)
	errs := make(chan error)
	now := w.now
	for range 8 { // each is a process of its own, as far as the lock knows
		go func() {
			c, err := capi.Open(capi.Config{Getenv: func(string) string { return "" }, HomeDir: w.home, Now: func() time.Time { return now }})
			if err == nil {
				_, err = c.Instances(context.Background(), w.space)
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if w.renewals() != 1 {
		t.Errorf("%d renewals, want 1", w.renewals())
	}
}

func TestLogHoldsNoToken(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	var log bytes.Buffer
	w.setConfig(t, func(m map[string]any) { m["SSLDisabled"] = true })
	w.pass(time.Hour)
	w.Fail("/", 3, 503, "secret-refresh eyJ")
	c, err := capi.Open(capi.Config{
		Getenv: func(string) string { return "" }, HomeDir: w.home, Now: func() time.Time { return w.now },
		Sleep: func(context.Context, time.Duration) error { return nil },
		Log:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Instances(t.Context(), w.space); err != nil {
		t.Fatal(err)
	}
	if log.Len() == 0 || strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "eyJ") {
		t.Errorf("the log is empty or holds a secret:\n%s", log.String())
	}
	if !strings.Contains(log.String(), "skip-ssl-validation") {
		t.Errorf("SSLDisabled is not warned of:\n%s", log.String())
	}
}
