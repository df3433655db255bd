package capitest

import (
	"strings"
	"time"
)

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
