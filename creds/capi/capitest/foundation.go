package capitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// AddSpace makes a space, and its organisation if it is new, and gives users
// roles in it: "name=role". It returns the space's GUID.
func (f *Foundation) AddSpace(orgName, name string, users ...string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in *org
	for _, o := range f.orgs {
		if o.name == orgName {
			in = o
		}
	}
	if in == nil {
		in = &org{guid: f.guid("org"), name: orgName}
		f.orgs = append(f.orgs, in)
	}
	s := &space{guid: f.guid("space"), name: name, org: in}
	f.spaces = append(f.spaces, s)
	for _, u := range users {
		user, role, _ := strings.Cut(u, "=")
		f.roles[user+"\x00"+s.guid] = Role(role)
	}
	return s.guid
}

// AddOffering makes a service of the marketplace.
func (f *Foundation) AddOffering(name string, tags []string, plans ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &offering{guid: f.guid("offering"), name: name, tags: tags}
	for _, p := range plans {
		o.plans = append(o.plans, &plan{guid: f.guid("plan"), name: p, offering: o})
	}
	f.offerings = append(f.offerings, o)
}

// AddInstance makes a service instance of "offering/plan" and returns its GUID.
func (f *Foundation) AddInstance(spaceGUID, name, offeringAndPlan string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := &instance{guid: f.guid("instance"), name: name, space: f.spaceOf(spaceGUID), created: f.now()}
	for _, o := range f.offerings {
		for _, p := range o.plans {
			if o.name+"/"+p.name == offeringAndPlan {
				i.plan = p
			}
		}
	}
	if i.plan == nil {
		panic("no plan " + offeringAndPlan)
	}
	f.instances = append(f.instances, i)
	return i.guid
}

// AddUserProvided makes a user-provided service instance.
func (f *Foundation) AddUserProvided(spaceGUID, name string, tags []string, credentials map[string]any) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := &instance{guid: f.guid("instance"), name: name, space: f.spaceOf(spaceGUID), tags: tags, credentials: credentials, created: f.now()}
	f.instances = append(f.instances, i)
	return i.guid
}

// Share shows an instance in another space too.
func (f *Foundation) Share(instanceGUID, spaceGUID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.instanceOf(instanceGUID)
	i.shared = append(i.shared, f.spaceOf(spaceGUID))
}

// AddKey makes a service key. state is "succeeded", "in progress" or "failed".
func (f *Foundation) AddKey(instanceGUID, name, state string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.instanceOf(instanceGUID)
	b := f.newBinding(i, name, state)
	b.credentials = f.S3Credentials(i.name, name)
	return b.guid
}

// SetCredentials replaces the credentials of a key or an app binding.
func (f *Foundation) SetCredentials(guid string, credentials map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bindingOf(guid).credentials = credentials
}

// RemoveKey deletes a key at once, behind the client's back.
func (f *Foundation) RemoveKey(guid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removeBinding(guid)
}

// Keys returns the names of an instance's keys, the oldest first.
func (f *Foundation) Keys(instanceGUID string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, b := range f.bindings {
		if b.instance.guid == instanceGUID && b.app == nil {
			names = append(names, b.name)
		}
	}
	return names
}

// newBinding must be called with f.mu held.
func (f *Foundation) newBinding(i *instance, name, state string) *binding {
	b := &binding{
		guid: f.guid("binding"), name: name, state: state, operation: "create", instance: i,
		created: f.now().Add(time.Duration(f.serial) * time.Second), // each a little newer
	}
	f.bindings = append(f.bindings, b)
	return b
}

// AddApp makes an app. With fileBased its credentials come as files.
func (f *Foundation) AddApp(spaceGUID, name string, fileBased bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &app{guid: f.guid("app"), name: name, space: f.spaceOf(spaceGUID), fileBased: fileBased}
	f.apps = append(f.apps, a)
	return a.guid
}

// Bind binds an app to a service instance, with the instance's own credentials
// if it is user-provided.
func (f *Foundation) Bind(appGUID, instanceGUID string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.instanceOf(instanceGUID)
	b := f.newBinding(i, "", "succeeded")
	for _, a := range f.apps {
		if a.guid == appGUID {
			b.app = a
		}
	}
	b.credentials = i.credentials
	if i.plan != nil {
		b.credentials = f.S3Credentials(i.name, "app"+b.app.name)
	}
	return b.guid
}

// AddClient makes a client that logs in with an id and a secret.
func (f *Foundation) AddClient(id, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[id] = secret
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

// Login writes what "cf login" leaves in a home directory: a session of the
// user, pointed at a space, which may be "". It returns the file's path.
func (f *Foundation) Login(tb testing.TB, home, user, spaceGUID string) string {
	tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	access, refresh := f.newTokens(user)
	type fields struct{ GUID, Name string }
	var inOrg, inSpace fields
	if s := f.spaceOf(spaceGUID); s != nil {
		inOrg, inSpace = fields{s.org.guid, s.org.name}, fields{s.guid, s.name}
	}
	return writeConfig(tb, home, map[string]any{
		"ConfigVersion": 4, "Target": f.URL, "APIVersion": "3.200.0",
		"AuthorizationEndpoint": f.URL, "UaaEndpoint": f.URL,
		"AccessToken": "bearer " + access, "RefreshToken": refresh,
		"UAAGrantType": "", "UAAOAuthClient": "cf", "UAAOAuthClientSecret": "", "SSLDisabled": false,
		"OrganizationFields": inOrg, "SpaceFields": inSpace,
		"PluginRepos":  []map[string]string{{"Name": "CF-Community", "URL": "https://plugins.cloudfoundry.org"}},
		"AsyncTimeout": 0, "Trace": "",
	})
}

// LoginClient is Login for "cf auth ID SECRET --client-credentials", of which
// cf keeps no secret.
func (f *Foundation) LoginClient(tb testing.TB, home, id, spaceGUID string) string {
	tb.Helper()
	path := f.Login(tb, home, id, spaceGUID)
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		tb.Fatal(err)
	}
	all["UAAGrantType"], all["UAAOAuthClient"], all["RefreshToken"] = "client_credentials", id, ""
	return writeConfig(tb, home, all)
}

func writeConfig(tb testing.TB, home string, all map[string]any) string {
	tb.Helper()
	path := filepath.Join(home, ".cf", "config.json")
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
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
