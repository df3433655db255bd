package capitest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Role is what a user may do in a space.
type Role string

// The roles of a space that matter to credentials.
const (
	Developer Role = "developer" // reads credentials
	Supporter Role = "supporter" // sees that an app has an environment, not what is in it
	Auditor   Role = "auditor"   // sees services, no credentials
)

// Foundation is a Cloud Foundry. Its fields may be set before requests come,
// its methods called at any time.
type Foundation struct {
	URL           string        // of the Cloud Controller and of the UAA
	TokenLife     time.Duration // of access tokens
	RotateRefresh bool          // a refresh token works once
	JobPolls      int           // how often a job says PROCESSING before it is done

	// Broker makes the credentials of a new key. The default gives each key an
	// id of its own. An error fails the job. It must not call the Foundation.
	Broker func(instance, key string, parameters map[string]any) (map[string]any, error)
	// Unbind is told of each deleted key.
	Unbind func(credentials map[string]any)

	server *httptest.Server
	mu     sync.Mutex
	state  // guarded by mu
}

type state struct {
	serial    int
	clock     time.Duration // how far ahead of the real time
	orgs      []*org
	spaces    []*space
	offerings []*offering
	instances []*instance
	bindings  []*binding
	apps      []*app
	jobs      map[string]*job
	roles     map[string]Role   // by user and space GUID
	tokens    map[string]string // user by access token
	refresh   map[string]string // user by refresh token
	clients   map[string]string // secret by client id
	faults    []*fault
	requests  []string
	audited   []string
}

type org struct{ guid, name string }

type space struct {
	guid, name string
	org        *org
}

type offering struct {
	guid, name string
	tags       []string
	plans      []*plan
}

type plan struct {
	guid, name string
	offering   *offering
}

type instance struct {
	guid, name  string
	space       *space
	shared      []*space
	plan        *plan // nil: user-provided
	tags        []string
	credentials map[string]any // of a user-provided one
	created     time.Time
}

type binding struct {
	guid, name, state string
	instance          *instance
	app               *app // nil: a key
	credentials       map[string]any
	created           time.Time
	operation         string
}

type app struct {
	guid, name string
	space      *space
	fileBased  bool
}

type job struct {
	polls  int
	finish func() error
	state  string
	detail string
}

type fault struct {
	path   string
	times  int
	status int
	header http.Header
	body   string
}

// New starts a foundation, which ends with the test.
func New(tb testing.TB) *Foundation {
	tb.Helper()
	f := &Foundation{TokenLife: 10 * time.Minute, JobPolls: 2}
	f.state = state{
		jobs: map[string]*job{}, roles: map[string]Role{}, tokens: map[string]string{},
		refresh: map[string]string{}, clients: map[string]string{"cf": ""},
	}
	f.Broker = func(instance, key string, _ map[string]any) (map[string]any, error) {
		return f.S3Credentials(instance, key), nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", f.oauthToken)
	f.routes(mux)
	f.server = httptest.NewServer(f.middle(mux))
	tb.Cleanup(f.server.Close)
	f.URL = f.server.URL
	return f
}

// S3Credentials are what the S3 broker of Cloud.gov makes for a key. The secret
// is "secret/of+" and the key's id; no other text of the foundation holds it.
func (f *Foundation) S3Credentials(instance, key string) map[string]any {
	id := "AKIA" + strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(instance+key))
	return map[string]any{
		"access_key_id": id, "secret_access_key": "secret/of+" + id, "bucket": "cf-" + instance,
		"region": "us-gov-west-1", "endpoint": "s3-fips.us-gov-west-1.amazonaws.com",
		"fips_endpoint": "s3-fips.us-gov-west-1.amazonaws.com", "insecure_skip_verify": false,
		"additional_buckets": []string{},
	}
}

// guid makes the next identifier. It must be called with f.mu held.
func (f *Foundation) guid(kind string) string {
	f.serial++
	return fmt.Sprintf("%08d-%s", f.serial, kind)
}

func (f *Foundation) now() time.Time { return time.Now().Add(f.clock) }

// Advance moves the foundation's clock, so that tokens expire.
func (f *Foundation) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock += d
}

// Fail answers the next requests whose path has this prefix with a status and a
// body.
func (f *Foundation) Fail(path string, times, status int, body string, header ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	f.faults = append(f.faults, &fault{path: path, times: times, status: status, body: body, header: h})
}

// Requests returns what was asked so far, as "METHOD /path".
func (f *Foundation) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

// Audited returns what the platform's audit log has: one entry for each reading
// of credentials or of an app's environment.
func (f *Foundation) Audited() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.audited...)
}

// The lookups must be called with f.mu held.

func (f *Foundation) spaceOf(guid string) *space {
	for _, s := range f.spaces {
		if s.guid == guid {
			return s
		}
	}
	return nil
}

func (f *Foundation) instanceOf(guid string) *instance {
	for _, i := range f.instances {
		if i.guid == guid {
			return i
		}
	}
	return nil
}

func (f *Foundation) bindingOf(guid string) *binding {
	for _, b := range f.bindings {
		if b.guid == guid {
			return b
		}
	}
	return nil
}

func (f *Foundation) removeBinding(guid string) {
	for n, b := range f.bindings {
		if b.guid == guid {
			f.bindings = append(f.bindings[:n:n], f.bindings[n+1:]...)
			return
		}
	}
}
