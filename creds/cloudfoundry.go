package creds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/creds/capi"
)

// cloudFoundry is the Cloud Controller that cf is logged in to. What it was
// pointed at when the search began stays: "cf target" may point elsewhere while
// a mount runs.
type cloudFoundry struct {
	Request
	api       *capi.Client
	spaceGUID string
	org       string // names, for people
	space     string
}

// asked tells whether the user named anything of Cloud Foundry.
func (f *cloudFoundry) asked() bool {
	return f.Service+f.Key+f.App+f.Org+f.Space != "" || f.CreateKey
}

func (f *cloudFoundry) named() bool { return f.asked() }

func (f *cloudFoundry) find(ctx context.Context) ([]candidate, error) {
	found, err := f.look(ctx)
	if err == nil || f.asked() || ctx.Err() != nil {
		return found, err
	}
	// Nobody asked for Cloud Foundry: without a login, or for a bucket that
	// may be elsewhere, it is only one more place without the bucket.
	if errors.Is(err, ErrLoggedOut) || f.Bucket != "" {
		return nil, &Error{Kind: ErrNotHere, Text: "Cloud Foundry", Err: err}
	}
	return nil, err
}

func (f *cloudFoundry) look(ctx context.Context) ([]candidate, error) {
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	switch {
	case f.App != "":
		return repeatable(ctx, f.lookInApp)
	case f.Service != "":
		i, err := f.instance(ctx)
		if err != nil {
			return nil, err
		}
		c, err := f.read(ctx, i, "", f.CreateKey)
		return []candidate{c}, err
	}
	return f.lookInSpace(ctx)
}

// open reads the login and finds the space, once.
func (f *cloudFoundry) open(ctx context.Context) error {
	if f.api != nil {
		return nil
	}
	api, err := capi.Open(capi.Config{
		Getenv: f.Getenv, HomeDir: f.HomeDir, Log: f.Log, Progress: f.Progress, Now: f.Now,
		RunCF: f.runCF, Sleep: f.sleep,
	})
	if err != nil {
		return err
	}
	t := api.Target()
	orgGUID := t.OrgGUID
	f.org, f.space, f.spaceGUID = t.Org, t.Space, t.SpaceGUID
	if f.Org != "" && f.Org != t.Org {
		if f.Space == "" {
			return &Error{Kind: ErrUsage, Text: "--org names another org than cf target, so a space is needed", Advice: "add --space NAME"}
		}
		if orgGUID, err = api.Organization(ctx, f.Org); err != nil {
			return err
		}
		f.org, f.spaceGUID = f.Org, ""
	}
	if f.Space != "" && (f.Space != t.Space || f.spaceGUID == "") {
		if orgGUID == "" {
			return &Error{Kind: ErrUsage, Text: "cf has no org targeted", Advice: "add --org NAME, or run cf target -o ORG -s SPACE"}
		}
		if f.spaceGUID, err = api.Space(ctx, orgGUID, f.Space); err != nil {
			return err
		}
		f.space = f.Space
	}
	if f.spaceGUID == "" {
		return &Error{Kind: ErrNotFound, Text: "cf has no space targeted", Advice: "run cf target -o ORG -s SPACE, or add --org and --space"}
	}
	f.api = api
	return nil
}

// place names the space, for people.
func (f *cloudFoundry) place() string { return f.org + "/" + f.space }

// instance returns the service instance that --service names.
func (f *cloudFoundry) instance(ctx context.Context) (capi.Instance, error) {
	found, err := f.api.Instances(ctx, f.spaceGUID, f.Service)
	if err != nil {
		return capi.Instance{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	e := &Error{Kind: ErrNotFound, Text: fmt.Sprintf("no service %s in space %s", f.Service, f.place()), Advice: "cf services lists them; --org and --space look elsewhere"}
	if others, err := f.s3Instances(ctx); err == nil && len(others) > 0 {
		e.Text += ", but"
		for _, i := range others {
			e.Candidates = append(e.Candidates, Candidate{Service: i.Name, Plan: i.Plan})
		}
	}
	return capi.Instance{}, e
}

// s3Instances returns the S3 services of the space.
func (f *cloudFoundry) s3Instances(ctx context.Context) ([]capi.Instance, error) {
	found, err := f.api.Instances(ctx, f.spaceGUID)
	return slices.DeleteFunc(found, func(i capi.Instance) bool { return !IsS3(i.Offering, i.Tags) }), err
}

// lookInSpace finds the S3 services of the space. Of several, those that can't
// be the wanted bucket's are left out without reading their credentials: the
// broker names a bucket after the instance's GUID.
func (f *cloudFoundry) lookInSpace(ctx context.Context) ([]candidate, error) {
	found, err := f.s3Instances(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &Error{
			Kind: ErrNotFound, Text: "no S3 service in space " + f.place(),
			Advice: "make one with cf create-service s3 basic NAME, or point elsewhere with cf target",
		}
	}
	if f.Bucket != "" {
		if at := slices.IndexFunc(found, func(i capi.Instance) bool { return strings.HasSuffix(f.Bucket, i.GUID) }); at >= 0 {
			found = found[at : at+1]
		}
	}
	if len(found) == 1 {
		c, err := f.read(ctx, found[0], "", f.CreateKey)
		return []candidate{c}, err
	}
	return f.readAll(ctx, found)
}

// readAll reads the credentials of several services at once, as far as they can
// be read: one without a key may still be the one that the user will name.
func (f *cloudFoundry) readAll(ctx context.Context, instances []capi.Instance) ([]candidate, error) {
	out := make([]candidate, len(instances))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for n, i := range instances {
		g.Go(func() error {
			c, err := f.read(groupCtx, i, "", false)
			if err != nil {
				c = candidate{Binding: Binding{Service: i.Name, Plan: i.Plan}}
			}
			out[n] = c
			return groupCtx.Err()
		})
	}
	return out, g.Wait()
}

// read gets the credentials of a service instance. It prefers a key over what an
// app has, the newest over older ones, and any over the rejected one.
func (f *cloudFoundry) read(ctx context.Context, i capi.Instance, rejected string, create bool) (candidate, error) {
	if !i.Ready {
		return candidate{}, &Error{Kind: ErrUnavailable, Text: "service " + i.Name + " is not ready", Advice: "see cf service " + i.Name}
	}
	if !i.Managed {
		credentials, err := f.api.UserProvided(ctx, i.GUID)
		if err != nil {
			return candidate{}, f.explain(err, i)
		}
		return f.candidate(i, "", "", credentials)
	}
	keys, err := f.keys(ctx, i)
	if err != nil {
		return candidate{}, err
	}
	if len(keys) == 0 && f.Key == "" {
		if keys, err = f.api.AppsOf(ctx, i.GUID); err != nil {
			return candidate{}, err
		}
		keys = slices.DeleteFunc(keys, func(b capi.Binding) bool { return !b.Ready })
	}
	created := false
	if len(keys) == 0 && create {
		key, err := f.api.CreateKey(ctx, i.GUID, f.keyName(), nil)
		if err != nil {
			return candidate{}, err
		}
		keys, created = []capi.Binding{key}, true
	}
	c, err := f.firstAccepted(ctx, i, keys, rejected)
	c.Fresh = created
	return c, err
}

// keys returns the service keys that may be used, the newest first; with --key,
// that one.
func (f *cloudFoundry) keys(ctx context.Context, i capi.Instance) ([]capi.Binding, error) {
	if f.Key == "" {
		keys, err := f.api.Keys(ctx, i.GUID)
		return slices.DeleteFunc(keys, func(k capi.Binding) bool { return !k.Ready }), err
	}
	keys, err := f.api.Keys(ctx, i.GUID, f.Key)
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, &Error{
			Kind: ErrNotFound, Text: fmt.Sprintf("service %s has no key %s", i.Name, f.Key), Advice: "cf service-keys " + i.Name + " lists them",
		}
	case keys[0].Failed:
		return nil, invalid("delete it with cf delete-service-key and make it again", "the key %s of service %s could not be made", f.Key, i.Name)
	case !keys[0].Ready:
		return nil, &Error{Kind: ErrUnavailable, Text: fmt.Sprintf("the key %s of service %s is not there yet", f.Key, i.Name), Advice: "try again in a minute"}
	}
	return keys, nil
}

// firstAccepted reads bindings until one has another key than the rejected one.
// If none has, the rejected one is the answer.
func (f *cloudFoundry) firstAccepted(ctx context.Context, i capi.Instance, bindings []capi.Binding, rejected string) (candidate, error) {
	var last candidate
	err := error(&Error{
		Kind: ErrNotFound, Text: fmt.Sprintf("service %s in space %s has no key", i.Name, f.place()),
		Advice: fmt.Sprintf("add --create-key, or run cf create-service-key %s NAME", i.Name),
	})
	for _, b := range bindings {
		var credentials map[string]any
		credentials, readErr := f.api.Details(ctx, b.GUID)
		if readErr != nil {
			err = f.explain(readErr, i)
			break // what one may not read one may not read in the others either
		}
		last, err = f.candidate(i, b.Name, b.App, credentials)
		if err != nil || last.keys.AccessKeyID != rejected {
			break
		}
	}
	return last, err
}

// candidate makes one of what the Cloud Controller gave for an instance.
func (f *cloudFoundry) candidate(i capi.Instance, key, app string, credentials map[string]any) (candidate, error) {
	s := service{name: i.Name, label: i.Offering, plan: i.Plan, tags: i.Tags, credentials: credentials}
	if i.Offering == "" {
		s.label = "user-provided"
	}
	found, err := document{services: []service{s}}.candidates("Cloud Foundry " + f.place())
	if errors.Is(err, ErrNotHere) {
		err = invalid("cf services lists the services and what they are", "service %s is no S3 service: its credentials name no bucket and key", i.Name)
	}
	if err != nil {
		return candidate{}, err
	}
	c := found[0]
	c.Org, c.Space, c.Key = f.org, f.space, key
	switch {
	case key != "":
		c.Source += ", key " + key
	case app != "":
		c.Source, c.Key = c.Source+", bound to app "+app, app
	}
	c.keys.Source = c.Source
	c.again = func(ctx context.Context, rejected string) (candidate, error) {
		another := *f
		another.Key = "" // the key that was named is rejected: another of the service is as good
		fresh, err := another.read(ctx, i, rejected, false)
		if err == nil && fresh.Bucket != c.Bucket {
			err = moved(c)
		}
		return fresh, err
	}
	return c, nil
}

// explain turns "not found", which the Cloud Controller says to everybody who
// may not read credentials, into what it means.
func (f *cloudFoundry) explain(err error, i capi.Instance) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return &Error{
		Kind: ErrDenied, Text: fmt.Sprintf("the credentials of service %s may not be read by this user", i.Name),
		Advice: "ask a Space Manager of " + f.place() + " for the role Space Developer",
	}
}

// keyName is the name of the key that CreateKey makes: one for this program on
// this host, so that it is never made twice.
func (f *cloudFoundry) keyName() string {
	host := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(f.HostName))
	if host = strings.Trim(host, "-"); host == "" {
		host = "unnamed"
	}
	return ourKeys + host[:min(len(host), 40)]
}

// ourKeys is how the names of keys begin that this program makes.
const ourKeys = "cgs3fs-"

// lookInApp finds the services that an app is bound to: in its environment, or,
// where that doesn't show them, one by one.
func (f *cloudFoundry) lookInApp(ctx context.Context) ([]candidate, error) {
	guid, err := f.api.App(ctx, f.spaceGUID, f.App)
	if err != nil {
		return nil, err
	}
	text, err := f.api.AppEnv(ctx, guid)
	if err != nil {
		return nil, err
	}
	source := "Cloud Foundry " + f.place() + ", app " + f.App
	d := parseDocument(text)
	if d.fileBased || d.withReferences() {
		if d, err = f.servicesOf(ctx, guid); err != nil {
			return nil, err
		}
	}
	found, err := d.candidates(source)
	if errors.Is(err, ErrNotHere) {
		return nil, &Error{
			Kind: ErrNotFound, Text: fmt.Sprintf("app %s in space %s is bound to no S3 service", f.App, f.place()),
			Advice: fmt.Sprintf("bind one with cf bind-service %s SERVICE, or name a service with --service", f.App),
		}
	}
	for n := range found {
		found[n].Org, found[n].Space, found[n].Key = f.org, f.space, f.App
	}
	return found, err
}

// servicesOf reads the credentials of what an app is bound to.
func (f *cloudFoundry) servicesOf(ctx context.Context, appGUID string) (document, error) {
	bindings, err := f.api.ServicesOf(ctx, appGUID)
	if err != nil {
		return document{}, err
	}
	instances, err := f.api.Instances(ctx, f.spaceGUID)
	if err != nil {
		return document{}, err
	}
	var d document
	for _, b := range bindings {
		at := slices.IndexFunc(instances, func(i capi.Instance) bool { return i.GUID == b.InstanceGUID })
		if at < 0 || !b.Ready {
			continue
		}
		i := instances[at]
		if i.Managed && !IsS3(i.Offering, i.Tags) {
			continue // a database's password is none of our business
		}
		credentials, err := f.api.Details(ctx, b.GUID)
		if err != nil {
			return document{}, f.explain(err, i)
		}
		s := service{name: i.Name, bindingName: b.Name, label: i.Offering, plan: i.Plan, tags: i.Tags, credentials: credentials}
		if !i.Managed {
			s.label = "user-provided"
		}
		d.services = append(d.services, s)
	}
	return d, nil
}
