package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/creds/capi/capitest"
	"github.com/cgs3fs/cgs3fs/s3"
)

// world is a machine with a login at a foundation, and a server for its buckets.
type world struct {
	*capitest.Foundation
	space string
	s3    *scriptedS3
}

func newWorld(t *testing.T, role capitest.Role) world {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{
		"CF_HOME", "VCAP_SERVICES", "VCAP_SERVICES_FILE_PATH", "SERVICE_BINDING_ROOT", "VCAP_APPLICATION", "BUCKET_NAME",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PATH",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	w := world{Foundation: capitest.New(t), s3: newScriptedS3(t)}
	w.space = w.AddSpace("gsa", "dev", "dev@example.gov="+string(role))
	w.AddOffering("s3", []string{"S3"}, "basic", "basic-public")
	w.Login(t, home, "dev@example.gov", w.space)
	w.Broker = func(instance, key string, _ map[string]any) (map[string]any, error) {
		return w.credentials(instance, key), nil
	}
	return w
}

// credentials are for a key at the scripted server.
func (w world) credentials(instance, key string) map[string]any {
	c := w.S3Credentials(instance, key)
	c["endpoint"], c["fips_endpoint"] = w.s3.URL, ""
	return c
}

// service makes a service with a key at the scripted server.
func (w world) service(name, plan, key string) (instance string) {
	instance = w.AddInstance(w.space, name, "s3/"+plan)
	if key != "" {
		w.SetCredentials(w.AddKey(instance, key, "succeeded"), w.credentials(name, key))
	}
	return instance
}

// run runs a command line and returns what it prints and its exit status.
func run(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := newApp()
	for i, c := range app.Commands {
		if c.Name == "doctor" { // the mounts of this machine are other tests'
			app.Commands[i] = doctorCommandWith(func() ([]liveMount, error) { return nil, nil })
		}
	}
	app.Writer, app.ErrWriter, app.Reader = &out, &errOut, strings.NewReader("")
	args = append([]string{"cgs3fs"}, args...)
	if completing(args) {
		app.UseShortOptionHandling = false
	} else {
		args = flagsFirst(app, args)
	}
	err := app.RunContext(t.Context(), args)
	status = report(&errOut, t.Context(), err)
	return out.String(), errOut.String(), status
}

// scriptedS3 answers as an S3 server that knows every key but those refused.
type scriptedS3 struct {
	*httptest.Server
	mu         sync.Mutex
	refused    map[string]bool   // key ids; guarded by mu
	ids        []string          // of the requests; guarded by mu
	objects    map[string]string // guarded by mu
	conditions bool              // honours conditional writes
	policy     string
	uploads    string
}

func newScriptedS3(t *testing.T) *scriptedS3 {
	s := &scriptedS3{refused: map[string]bool{}, objects: map[string]string{}, conditions: true}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *scriptedS3) refuse(id string, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[id] = refused
}

func (s *scriptedS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	s.ids = append(s.ids, id)
	w.Header().Set("Content-Type", "application/xml")
	fail := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
	}
	if id == "" || s.refused[id] {
		fail(http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	s.answer(w, r, fail)
}

func (s *scriptedS3) answer(w http.ResponseWriter, r *http.Request, fail func(int, string)) {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case q.Has("versioning"):
		fmt.Fprint(w, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
	case q.Has("cors"):
		fail(http.StatusNotFound, "NoSuchCORSConfiguration")
	case q.Has("policy") && s.policy == "":
		fail(http.StatusNotFound, "NoSuchBucketPolicy")
	case q.Has("policy"):
		fmt.Fprint(w, s.policy)
	case q.Has("tagging"):
		fail(http.StatusNotFound, "NoSuchKey")
	case q.Has("uploads") && r.Method == http.MethodGet:
		fmt.Fprintf(w, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>%s</ListMultipartUploadsResult>", s.uploads)
	case q.Has("uploads"):
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case q.Has("uploadId") && r.Method == http.MethodGet:
		fmt.Fprint(w, "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5242880</Size></Part></ListPartsResult>")
	case key == "":
		fmt.Fprint(w, "<ListBucketResult></ListBucketResult>")
	default:
		s.object(w, r, key, fail)
	}
}

func (s *scriptedS3) object(w http.ResponseWriter, r *http.Request, key string, fail func(int, string)) {
	content, there := s.objects[key]
	w.Header().Set("ETag", `"e"`)
	switch {
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut && s.conditions && (there && r.Header.Get("If-None-Match") == "*" || r.Header.Get("If-Match") != ""):
		fail(http.StatusPreconditionFailed, "PreconditionFailed")
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		s.objects[key] = "a copy"
		fmt.Fprint(w, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		if !r.URL.Query().Has("uploadId") {
			s.objects[key] = string(body)
		}
	case !there:
		fail(http.StatusNotFound, "NoSuchKey")
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method == http.MethodGet {
			io.WriteString(w, content)
		}
	}
}

func TestEnvPrintsWhatTheHandbookExports(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.service("cfs3-s3", "basic", "laptop")
	out, errOut, status := run(t, "env")
	want := `export AWS_ACCESS_KEY_ID='AKIACFS3S3LAPTOP'
export AWS_SECRET_ACCESS_KEY='secret/of+AKIACFS3S3LAPTOP'
unset AWS_SESSION_TOKEN
export BUCKET_NAME='cf-cfs3-s3'
export AWS_DEFAULT_REGION='us-gov-west-1'
export AWS_REGION='us-gov-west-1'
export AWS_ENDPOINT_URL_S3='` + w.s3.URL + "'\n"
	if out != want || errOut != "" || status != exitOK {
		t.Errorf("status %d\n%s%s", status, out, errOut)
	}
	out, _, status = run(t, "env", "cfs3-s3", "--json")
	var m map[string]string
	if err := json.Unmarshal([]byte(out), &m); err != nil || m["BUCKET_NAME"] != "cf-cfs3-s3" || status != exitOK {
		t.Errorf("--json: status %d, %v\n%s", status, err, out)
	}
}

func TestServicesAsATable(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.AddKey(w.service("files", "basic", "laptop"), "half", "in progress")
	w.service("web", "basic-public", "")
	out, errOut, status := run(t, "services")
	want := `NAME   PLAN          BUCKET    ALSO OPENS  KEYS                   PUBLIC  VERSIONING
files  basic         cf-files  -           half (pending),laptop  no      enabled
web    basic-public  -         -           -                      yes     unknown
web: service web in space gsa/dev has no key
`
	if out != want || errOut != "" || status != exitOK {
		t.Errorf("status %d\ngot:\n%swant:\n%s%s", status, out, want, errOut)
	}
	w.service("open", "basic-public", "k") // the plan says it, whatever this key may read of the policy
	if out, _, _ := run(t, "services", "open"); !strings.Contains(out, "yes     enabled") {
		t.Errorf("a public service with a key:\n%s", out)
	}
	out, _, _ = run(t, "services", "files", "--json")
	var rows []serviceRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 || rows[0].Versioning != "enabled" {
		t.Errorf("--json: %v\n%s", err, out)
	}
}

func TestRotateReplacesOurKey(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	instance := w.service("files", "basic", "laptop")
	_, errOut, status := run(t, "rotate", "files")
	if status != exitRefused || !strings.Contains(errOut, "--force") || len(w.Keys(instance)) != 1 {
		t.Fatalf("somebody else's key: status %d\n%s", status, errOut)
	}
	if _, errOut, status = run(t, "rotate", "files", "--force", "--dry-run"); status != exitOK || len(w.Keys(instance)) != 1 {
		t.Fatalf("--dry-run: status %d, keys %v\n%s", status, w.Keys(instance), errOut)
	}
	w.JobPolls = 0
	if _, errOut, status = run(t, "rotate", "files", "--force"); status != exitOK {
		t.Fatalf("--force: status %d\n%s", status, errOut)
	}
	keys := w.Keys(instance)
	if len(keys) != 1 || !strings.HasPrefix(keys[0], "laptop-2") {
		t.Errorf("keys are %v; the host is %s", keys, host)
	}
}

func TestRotateKeepsTheOldKeyIfTheBrokerFails(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.JobPolls = 0
	instance := w.service("files", "basic", "laptop")
	w.Broker = func(string, string, map[string]any) (map[string]any, error) { return nil, io.ErrUnexpectedEOF }
	_, errOut, status := run(t, "rotate", "files", "--force")
	if keys := w.Keys(instance); status == exitOK || len(keys) != 1 || keys[0] != "laptop" {
		t.Errorf("status %d, keys %v\n%s", status, keys, errOut)
	}
}

func TestNewKeyIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		failures int
		err      error
		want     error
		waited   time.Duration
	}{
		{3, s3.ErrCredentials, nil, 6 * time.Second},
		{3, s3.ErrDenied, nil, 6 * time.Second},
		{1000, s3.ErrCredentials, s3.ErrCredentials, keyTime},
		{1, s3.ErrUnavailable, s3.ErrUnavailable, 0},
	} {
		n, waited := 0, time.Duration(0)
		check := func(context.Context) error {
			if n++; n <= tt.failures {
				return tt.err
			}
			return nil
		}
		sleep := func(_ context.Context, d time.Duration) error {
			waited += d
			return nil
		}
		if err := awaitKey(t.Context(), check, sleep); !errors.Is(err, tt.want) || waited != tt.waited {
			t.Errorf("%d times %v: waited %v, %v", tt.failures, tt.err, waited, err)
		}
	}
}

func TestDoctorOnAHealthyBucket(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.service("files", "basic", "laptop")
	out, errOut, _ := run(t, "doctor", "--json", "--write-test")
	got := findingsOf(t, out, errOut)
	for check, want := range map[string]string{
		"cf login": stateOK, "cf marketplace": stateOK, "cf services": stateOK, "bucket": stateOK, "key": stateOK,
		"endpoint": stateOK, "clock": stateOK, "reading": stateOK, "tags": stateOK, "cors": stateOK, "versioning": stateOK,
		"public": stateOK, "uploads": stateOK, "writing": stateOK, "conditional writes": stateOK, "copying": stateOK,
		"large files": stateOK, "state directory": stateOK, "cache directory": stateOK,
	} {
		if got[check].State != want {
			t.Errorf("%s is %q, want %q: %s", check, got[check].State, want, got[check].Text)
		}
	}
	if len(w.s3.objects) != 0 {
		t.Errorf("the test left %v in the bucket", w.s3.objects)
	}
}

func TestDoctorSeesWhatIsWrong(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.service("files", "basic", "laptop")
	w.s3.conditions = false
	w.s3.policy = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}`
	w.s3.uploads = "<Upload><Key>k</Key><UploadId>u</UploadId><Initiated>2026-11-20T10:00:00Z</Initiated></Upload>"
	out, errOut, _ := run(t, "doctor", "--json", "--write-test")
	got := findingsOf(t, out, errOut)
	for check, want := range map[string]string{"conditional writes": "ignores conditions", "public": "everybody", "uploads": "1 upload unfinished"} {
		if f := got[check]; f.State != stateWarning || !strings.Contains(f.Text, want) || f.Fix == "" {
			t.Errorf("%s is %+v, want a warning with %q and a fix", check, f, want)
		}
	}
	if !strings.Contains(got["uploads"].Text, "5.0 MiB") {
		t.Errorf("the size of the upload is not told: %s", got["uploads"].Text)
	}
	w.s3.refuse("AKIAFILESLAPTOP", true)
	_, _, status := run(t, "doctor")
	if status == exitOK || status == exitPartly {
		t.Errorf("status %d with a refused key", status)
	}
}

func TestDoctorEndsWithTheWorst(t *testing.T) {
	e := &examination{}
	e.ok("a", "fine")
	e.skip("b", "not tried")
	if s := e.status(); s != exitOK {
		t.Errorf("all well: status %d", s)
	}
	e.warn("c", "a fix", "hm")
	if s := e.status(); s != exitPartly {
		t.Errorf("a warning: status %d", s)
	}
	e.fail("d", fail(exitDenied, "no"))
	e.fail("e", fail(exitUnavailable, "no"))
	if s := e.status(); s != exitDenied {
		t.Errorf("two failures: status %d, want the first's", s)
	}
}

func TestDoctorInsideAnApp(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	vcap, err := json.Marshal(map[string]any{"s3": []any{map[string]any{"name": "files", "credentials": w.credentials("files", "app")}}})
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	os.RemoveAll(filepath.Join(home, ".cf"))
	t.Setenv("VCAP_SERVICES", string(vcap))
	t.Setenv("VCAP_APPLICATION", "{}")
	out, errOut, _ := run(t, "doctor", "--json")
	got := findingsOf(t, out, errOut)
	if got["bucket"].State != stateOK || got["cf login"].State != stateSkipped {
		t.Errorf("bucket %+v, cf login %+v", got["bucket"], got["cf login"])
	}
}

func findingsOf(t *testing.T, out, errOut string) map[string]finding {
	t.Helper()
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	m := map[string]finding{}
	for _, f := range list {
		m[f.Check] = f
	}
	return m
}

func TestCompletionOfServices(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.service("files", "basic", "laptop")
	args := os.Args
	t.Cleanup(func() { os.Args = args })
	for _, line := range [][]string{{"env", "--service"}, {"env"}, {"services"}} {
		os.Args = append(append([]string{"cgs3fs"}, line...), "--generate-bash-completion")
		out, _, _ := run(t, append(line, "--generate-bash-completion")...)
		if !strings.Contains(out, "files\n") {
			t.Errorf("%v completes to %q", line, out)
		}
	}
	if n := len(w.Audited()); n != 0 {
		t.Errorf("completing has read credentials %d times", n)
	}
}

// TestNoCommandShowsASecret runs every command that has no business printing a
// secret, failing ones included, and looks for it in everything they print.
func TestNoCommandShowsASecret(t *testing.T) {
	w := newWorld(t, capitest.Developer)
	w.JobPolls = 0
	w.service("files", "basic", "laptop")
	home, _ := os.UserHomeDir()
	text := `{"credentials":{"access_key_id":"A","secret_access_key":"secret","bucket":"b/ad"}}`
	bad := filepath.Join(home, "bad.json")
	if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"services"},
		{"services", "--json"},
		{"services", "missing"},
		{"doctor"},
		{"doctor", "--json", "--write-test"},
		{"rotate", "files"},
		{"rotate", "files", "--force", "--json"},
		{"rotate", "missing"},
		{"env", "missing"},
		{"env", "--key", "missing", "files"},
		{"env", "--app", "missing"},
		{"env", "--format", "xml"},
		{"env", "--unknown"},
		{"env", "--credentials", bad},
		{"doctor", "--credentials", bad},
		{"env", "--credentials", home},
		{"doctor", "--bucket", "x", "--profile", "none"},
	}
	for _, when := range []struct {
		name   string
		change func()
	}{
		{"at first", func() {}},
		{"key refused", func() { w.s3.refuse("AKIAFILESLAPTOP", true) }},
		{"server down", w.s3.Close},
		{"session over", w.EndSessions},
	} {
		when.change()
		for _, args := range commands {
			out, errOut, _ := run(t, args...)
			for _, secret := range []string{"secret/of+", "secret-refresh", "eyJ", `"secret"`} {
				if strings.Contains(out+errOut, secret) {
					t.Errorf("%s: %v shows %q:\n%s%s", when.name, args, secret, out, errOut)
				}
			}
		}
	}
}
