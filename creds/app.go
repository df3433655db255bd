package creds

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cgs3fs/cgs3fs/creds/capi"
)

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
