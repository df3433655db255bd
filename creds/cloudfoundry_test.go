package creds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/creds/capi/capitest"
)

const developer = "dev@example.gov"

// foundation is one with a space "gsa/dev" in which developer is logged in, and
// a request that knows it. The clock of the request runs only when it sleeps.
func foundation(t testing.TB, role capitest.Role) (*capitest.Foundation, string, *Request) {
	t.Helper()
	f := capitest.New(t)
	space := f.AddSpace("gsa", "dev", developer+"="+string(role))
	f.AddOffering("s3", []string{"AWS", "S3"}, "basic", "basic-public")
	f.AddOffering("aws-rds", []string{"database"}, "micro")
	r := request(t, map[string]string{})
	f.Login(t, r.HomeDir, developer, space)
	now := time.Now()
	r.Now = func() time.Time { return now }
	r.HostName = "Laptop.Local"
	r.sleep = func(ctx context.Context, d time.Duration) error {
		now = now.Add(d)
		return ctx.Err()
	}
	return f, space, &r
}

func TestOnlyServiceOfTheSpace(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	f.AddInstance(space, "db", "aws-rds/micro")
	f.AddKey(i, "old", "succeeded")
	f.AddKey(i, "new", "succeeded")
	f.AddKey(i, "half-made", "in progress")
	f.AddKey(i, "broken", "failed")
	b := find(t, *r)
	want := `{"bucket":"cf-files","region":"us-gov-west-1","endpoint":"https://s3-fips.us-gov-west-1.amazonaws.com",` +
		`"source":"Cloud Foundry gsa/dev, service files, key new","service":"files","plan":"basic","key":"new","org":"gsa","space":"dev"}`
	if got := plainOf(t, b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := keyOf(t, b); got != "AKIAFILESNEW:secret/of+AKIAFILESNEW:" {
		t.Errorf("key %s", got)
	}
	if n := len(f.Audited()); n != 1 {
		t.Errorf("credentials were read %d times, want once", n)
	}
}

func TestSeveralServicesAreListed(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	f.AddKey(f.AddInstance(space, "files", "s3/basic"), "k", "succeeded")
	f.AddInstance(space, "keyless", "s3/basic-public")
	_, err := Find(t.Context(), *r)
	if want := "2 S3 services could be meant: files (plan basic, bucket cf-files), keyless (plan basic-public)"; !errors.Is(err, ErrAmbiguous) || err.Error() != want {
		t.Errorf("Find = %v\nwant   %s", err, want)
	}
	r.Bucket = "cf-files"
	if b := find(t, *r); b.Service != "files" {
		t.Errorf("--bucket cf-files is of %v", b)
	}
}

func TestBucketNamedAfterItsInstanceIsFoundWithOneReading(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	for _, name := range []string{"one", "two", "three"} {
		i := f.AddInstance(space, name, "s3/basic")
		c := f.S3Credentials(name, "k")
		c["bucket"] = "cf-" + i
		f.SetCredentials(f.AddKey(i, "k", "succeeded"), c)
		r.Bucket = "cf-" + i
	}
	if b := find(t, *r); b.Service != "three" || len(f.Audited()) != 1 {
		t.Errorf("found %v with %d readings of credentials, want three with one", b, len(f.Audited()))
	}
}

func TestProfileInTheEnvironmentLeavesCloudFoundryAlone(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	f.AddKey(f.AddInstance(space, "files", "s3/basic"), "k", "succeeded")
	write(t, filepath.Join(r.HomeDir, "credentials"), "[mine]\naws_access_key_id = id\naws_secret_access_key = sec\n", 0o600)
	t.Setenv("AWS_PROFILE", "mine")
	r.Getenv = func(name string) string { return map[string]string{"AWS_PROFILE": "mine"}[name] }
	r.Bucket = "elsewhere"
	if b := find(t, *r); keyOf(t, b) != "id:sec:" || len(f.Requests()) != 0 {
		t.Errorf("Find = %v with key %s after %v", b, keyOf(t, b), f.Requests())
	}
}

func TestServiceSharedIntoTheSpace(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	backups := f.AddSpace("gsa", "backups", developer+"=developer")
	i := f.AddInstance(backups, "shared", "s3/basic")
	f.AddKey(i, "k", "succeeded")
	f.Share(i, space)
	r.Service = "shared"
	if b := find(t, *r); b.Bucket != "cf-shared" {
		t.Errorf("Find = %v", b)
	}
	r.Service, r.Space = "", "backups"
	if b := find(t, *r); b.Bucket != "cf-shared" || b.Space != "backups" {
		t.Errorf("Find in --space = %v", b)
	}
	other := f.AddSpace("epa", "dev", developer+"=developer") // named as the targeted one
	f.AddKey(f.AddInstance(other, "theirs", "s3/basic"), "k", "succeeded")
	r.Org, r.Space = "epa", "dev"
	if b := find(t, *r); b.Bucket != "cf-theirs" || b.Org != "epa" {
		t.Errorf("Find in --org and --space = %v", b)
	}
}

func TestServiceWithoutAKey(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	r.Service = "files"
	_, err := Find(t.Context(), *r)
	var e *Error
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &e) || !strings.Contains(e.Hint(), "--create-key") {
		t.Fatalf("Find = %v, want a hint at --create-key", err)
	}
	r.CreateKey = true
	b := find(t, *r)
	if b.Key != "cgs3fs-laptop-local" || !b.Fresh {
		t.Errorf("Find made %v, fresh %v", b, b.Fresh)
	}
	if b := find(t, *r); b.Key != "cgs3fs-laptop-local" || b.Fresh || len(f.Keys(i)) != 1 {
		t.Errorf("made twice: %v, keys %v", b, f.Keys(i))
	}
}

func TestServiceWithAnAppAndNoKey(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	f.Bind(f.AddApp(space, "web", false), f.AddInstance(space, "files", "s3/basic"))
	r.Service = "files"
	if b := find(t, *r); b.Source != "Cloud Foundry gsa/dev, service files, bound to app web" || keyOf(t, b) != "AKIAFILESAPPWEB:secret/of+AKIAFILESAPPWEB:" {
		t.Errorf("Find = %v", b)
	}
	r.CreateKey = true
	if b := find(t, *r); b.Key != "cgs3fs-laptop-local" {
		t.Errorf("with --create-key: Find = %v", b)
	}
}

func TestKeyThatGoesWhileItIsRead(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	f.AddKey(i, "older", "succeeded")
	newest := f.AddKey(i, "newest", "succeeded")
	f.Fail("/v3/service_credential_bindings/"+newest, 1, 404, `{"errors":[{"code":10010,"detail":"Service credential binding not found"}]}`)
	if b := find(t, *r); b.Key != "older" {
		t.Errorf("Find = %v", b)
	}
}

func TestUserProvidedService(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	f.AddUserProvided(space, "my-minio", nil, map[string]any{"accessKey": "id", "secretKey": "sec", "bucket": "b", "endpoint": "http://127.0.0.1:9"})
	f.AddUserProvided(space, "smtp", nil, map[string]any{"username": "id", "password": "sec", "host": "h"})
	r.Service = "my-minio"
	if b := find(t, *r); b.Bucket != "b" || b.Endpoint != "http://127.0.0.1:9" || !b.PathStyle {
		t.Errorf("Find = %v", b)
	}
	r.Service = "smtp"
	if _, err := Find(t.Context(), *r); !errors.Is(err, ErrInvalid) {
		t.Errorf("Find = %v, want ErrInvalid", err)
	}
}

func TestBucketOfAnApp(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	files := f.AddInstance(space, "files", "s3/basic")
	db := f.AddInstance(space, "db", "aws-rds/micro")
	for _, fileBased := range []bool{false, true} {
		r.App = fmt.Sprint("web", fileBased)
		app := f.AddApp(space, r.App, fileBased)
		f.SetCredentials(f.Bind(app, db), map[string]any{"username": "u", "password": "p", "name": "d", "host": "h"})
		binding := f.Bind(app, files)
		before := len(f.Audited())
		if b := find(t, *r); b.Bucket != "cf-files" || b.Space != "dev" {
			t.Errorf("%s: Find = %v", r.App, b)
		}
		want := before + 1 // the environment, and where it has none the bucket's credentials: not the database's
		if fileBased {
			want++
		}
		if n := len(f.Audited()); n != want {
			t.Errorf("%s: the audit log has %d entries, want %d", r.App, n, want)
		}
		f.SetCredentials(binding, map[string]any{"credhub-ref": "/c/x"})
		if _, err := Find(t.Context(), *r); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "CredHub") {
			t.Errorf("%s with CredHub: Find = %v", r.App, err)
		}
	}
	r.App = "bare"
	f.AddApp(space, "bare", false)
	if _, err := Find(t.Context(), *r); !errors.Is(err, ErrNotFound) {
		t.Errorf("an app without services: Find = %v", err)
	}
	r.App = "missing"
	if _, err := Find(t.Context(), *r); !errors.Is(err, ErrNotFound) {
		t.Errorf("no app: Find = %v", err)
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	type world struct {
		*capitest.Foundation
		space string
		*Request
	}
	for name, tt := range map[string]struct {
		role   capitest.Role
		change func(w world)
		want   error
		hint   string
	}{
		"no S3 service":     {capitest.Developer, func(w world) {}, ErrNotFound, "cf create-service s3 basic NAME"},
		"no such service":   {capitest.Developer, func(w world) { w.Service = "x" }, ErrNotFound, "cf services"},
		"no such key":       {capitest.Developer, func(w world) { w.AddInstance(w.space, "s", "s3/basic"); w.Service, w.Key = "s", "x" }, ErrNotFound, "cf service-keys s"},
		"no such org":       {capitest.Developer, func(w world) { w.Org, w.Request.Space = "x", "y" }, ErrNotFound, "cf orgs"},
		"no such space":     {capitest.Developer, func(w world) { w.Request.Space = "x" }, ErrNotFound, "cf spaces"},
		"org without space": {capitest.Developer, func(w world) { w.Org = "x" }, ErrUsage, "--space"},
		"no target":         {capitest.Developer, func(w world) { w.Login(t, w.HomeDir, developer, "") }, ErrNotFound, "cf target"},
		"failed key": {capitest.Developer, func(w world) {
			w.AddKey(w.AddInstance(w.space, "s", "s3/basic"), "k", "failed")
			w.Service, w.Key = "s", "k"
		}, ErrInvalid, "cf delete-service-key"},
		"half-made key": {capitest.Developer, func(w world) {
			w.AddKey(w.AddInstance(w.space, "s", "s3/basic"), "k", "in progress")
			w.Service, w.Key = "s", "k"
		}, ErrUnavailable, "again"},
		"auditor":              {capitest.Auditor, func(w world) { w.AddKey(w.AddInstance(w.space, "s", "s3/basic"), "k", "succeeded") }, ErrDenied, "Space Developer"},
		"supporter and an app": {capitest.Supporter, func(w world) { w.AddApp(w.space, "web", false); w.App = "web" }, ErrDenied, "Space Developer"},
		"session over":         {capitest.Developer, func(w world) { w.EndSessions() }, ErrLoggedOut, "cf login"},
		"session over, named":  {capitest.Developer, func(w world) { w.EndSessions(); w.Service = "s" }, ErrLoggedOut, "cf login"},
		"logged out":           {capitest.Developer, func(w world) { os.Remove(filepath.Join(w.HomeDir, ".cf", "config.json")) }, ErrLoggedOut, "cf login"},
		"foundation down":      {capitest.Developer, func(w world) { w.Fail("/v3", 99, 502, "<html>") }, ErrUnavailable, "again"},
	} {
		t.Run(name, func(t *testing.T) {
			f, space, r := foundation(t, tt.role)
			tt.change(world{f, space, r})
			_, err := Find(t.Context(), *r)
			var hinted interface{ Hint() string }
			if !errors.Is(err, tt.want) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), tt.hint) {
				t.Fatalf("Find = %v, want %v with a hint at %q", err, tt.want, tt.hint)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("not one clear line: %v", err)
			}
		})
	}
}

func TestKeyRotatedBehindTheMount(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	old := f.AddKey(i, "first", "succeeded")
	r.Service, r.Key = "files", "first"
	b := find(t, *r)
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) {
		t.Fatalf("Refresh without a new key = %v, want ErrNoRefresh", err)
	}
	asked := len(f.Requests())
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) || len(f.Requests()) != asked {
		t.Errorf("Refresh asks again at once: %v", err)
	}
	f.AddKey(i, "second", "succeeded")
	f.RemoveKey(old)
	other := f.AddSpace("gsa", "elsewhere", developer+"=developer")
	f.Login(t, r.HomeDir, developer, other) // cf target points elsewhere by now
	r.sleep(t.Context(), firstBackoff)
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatalf("Refresh = %v", err)
	}
	if got := keyOf(t, b); got != "AKIAFILESSECOND:secret/of+AKIAFILESSECOND:" {
		t.Errorf("key %s after the rotation", got)
	}
}

func TestOlderKeyIsTakenWhenTheNewestIsRejected(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	f.AddKey(i, "older", "succeeded")
	f.AddKey(i, "newest", "succeeded")
	b := find(t, *r)
	if err := b.Refresh(t.Context()); err != nil || keyOf(t, b) != "AKIAFILESOLDER:secret/of+AKIAFILESOLDER:" {
		t.Errorf("Refresh = %v with %s", err, keyOf(t, b))
	}
}

func TestServiceMadeAnewIsNotTaken(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	key := f.AddKey(i, "k", "succeeded")
	b := find(t, *r)
	c := f.S3Credentials("files", "other")
	c["bucket"] = "another-bucket"
	f.SetCredentials(key, c)
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("Refresh = %v, want ErrNotFound", err)
	}
	if got := keyOf(t, b); !strings.HasPrefix(got, "AKIAFILESK:") {
		t.Errorf("key %s", got)
	}
}

func TestServicesOfASpace(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	f.AddKey(i, "good", "succeeded")
	f.AddKey(i, "bad", "failed")
	f.AddInstance(space, "web", "s3/basic-public")
	f.AddInstance(space, "db", "aws-rds/micro")
	all, err := Services(t.Context(), *r)
	if err != nil || len(all) != 2 {
		t.Fatalf("Services = %v, %v", all, err)
	}
	if s := all[0]; s.Name != "files" || s.Public || s.Binding == nil || s.Binding.Bucket != "cf-files" {
		t.Errorf("files: %+v", s)
	}
	if diff := cmp.Diff([]ServiceKey{{"bad", "failed"}, {"good", "ready"}}, all[0].Keys); diff != "" {
		t.Errorf("keys: -want +got\n%s", diff)
	}
	if s := all[1]; s.Name != "web" || !s.Public || s.Binding != nil || !errors.Is(s.Err, ErrNotFound) {
		t.Errorf("web: %+v", s)
	}
	if names, err := ServiceNames(t.Context(), *r); err != nil || !slices.Equal(names, []string{"files", "web"}) {
		t.Errorf("ServiceNames = %v, %v", names, err)
	}
}

func TestRotationOfAKey(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	i := f.AddInstance(space, "files", "s3/basic")
	f.AddKey(i, "cgs3fs-laptop-local", "succeeded")
	f.AddKey(i, "ci", "succeeded")
	r.Service = "files"
	rot, err := NewRotation(t.Context(), *r)
	if err != nil {
		t.Fatal(err)
	}
	if rot.Old != "cgs3fs-laptop-local" || !rot.Mine || !slices.Equal(rot.Others, []string{"ci"}) || !strings.HasPrefix(rot.New, "cgs3fs-laptop-local-2") {
		t.Fatalf("NewRotation = %+v", rot)
	}
	if err := rot.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rot.OldID != "AKIACGS3FSLAPTOPLOCAL" && rot.OldID != "AKIAFILESCGS3FSLAPTOPLOCAL" {
		t.Errorf("the old key's id is %s", rot.OldID)
	}
	if rot.Binding.Key != rot.New || rot.Binding.Bucket != "cf-files" || !rot.Binding.Fresh {
		t.Errorf("Make gave %v", rot.Binding)
	}
	if err := rot.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := f.Keys(i); !slices.Equal(keys, []string{"ci", rot.New}) {
		t.Errorf("keys are %v", keys)
	}
	again, err := NewRotation(t.Context(), *r)
	if err != nil || again.Old != rot.New || !again.Mine || len(again.New) != len(rot.New) || again.New == rot.New {
		t.Errorf("the second rotation is %+v, %v", again, err)
	}
	if err := again.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := again.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := f.Keys(i); !slices.Equal(keys, []string{"ci", rot.New}) {
		t.Errorf("keys after Undo are %v", keys)
	}
	f.AddKey(i, "cgs3fs-laptop-local-2", "succeeded") // of the host "laptop-local-2"
	r.Key = "cgs3fs-laptop-local-2"
	if other, err := NewRotation(t.Context(), *r); err != nil || other.Mine {
		t.Errorf("the rotation of another host's key is %+v, %v", other, err)
	}
	r.Key = "ci"
	if other, err := NewRotation(t.Context(), *r); err != nil || other.Mine {
		t.Errorf("the rotation of somebody's key is %+v, %v", other, err)
	}
}

func TestLogsHoldNoSecret(t *testing.T) {
	f, space, r := foundation(t, capitest.Developer)
	f.AddKey(f.AddInstance(space, "files", "s3/basic"), "k", "succeeded")
	var log bytes.Buffer
	r.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := find(t, *r)
	f.AddKey(f.AddInstance(space, "more", "s3/basic"), "k", "succeeded")
	_ = b.Refresh(t.Context())
	r.Log.Info("all", "binding", b, "pointer", &b, "provider", b.Credentials)
	fmt.Fprintf(&log, "%v %+v %#v %d %s %q %x", b, b, b, b, b, b, b)
	fmt.Fprintf(&log, "%v %+v %#v %d %s", b.Credentials, b.Credentials, b.Credentials, b.Credentials, b.Credentials)
	fmt.Fprintf(&log, "%v %+v %#v", &b, struct{ B Binding }{b}, []Binding{b})
	if strings.Contains(log.String(), "secret") {
		t.Errorf("a secret is shown:\n%s", log.String())
	}
}
