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

// readAll reads the credentials of several services at once, as far as they can
// be read: one without a key may still be the one that the user will name.
func (f *cloudFoundry) readAll(ctx context.Context, instances []capi.Instance) ([]candidate, error) {
	out := make([]candidate, len(instances))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for n, i := range instances {
		g.Go(func() error {
			c, err := f.read(groupCtx, i, nil, false)
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
// app has, the newest over older ones, and any over rejected ones.
func (f *cloudFoundry) read(ctx context.Context, i capi.Instance, rejected keyring, create bool) (candidate, error) {
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
	created := false
	switch {
	case len(keys) > 0:
	case create:
		key, err := f.api.CreateKey(ctx, i.GUID, f.keyName(), nil)
		if err != nil {
			return candidate{}, err
		}
		keys, created = []capi.Binding{key}, true
	default:
		if keys, err = f.api.AppsOf(ctx, i.GUID); err != nil {
			return candidate{}, err
		}
		keys = slices.DeleteFunc(keys, func(b capi.Binding) bool { return !b.Ready })
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

// maxUnread is how many keys that can't be read are passed over.
const maxUnread = 2

// firstAccepted reads bindings until one has a key that was not rejected. If none
// has, a rejected one is the answer.
func (f *cloudFoundry) firstAccepted(ctx context.Context, i capi.Instance, bindings []capi.Binding, rejected keyring) (candidate, error) {
	var last candidate
	unread := 0
	err := error(&Error{
		Kind: ErrNotFound, Text: fmt.Sprintf("service %s in space %s has no key", i.Name, f.place()),
		Advice: fmt.Sprintf("add --create-key, or run cf create-service-key %s NAME", i.Name),
	})
	for _, b := range bindings {
		credentials, readErr := f.api.Details(ctx, b.GUID)
		if errors.Is(readErr, ErrNotFound) && unread < maxUnread {
			// Deleted just now, or not for this user; then no other is either.
			if unread++; last.again == nil {
				err = f.explain(readErr, i)
			}
			continue
		}
		if readErr != nil {
			return candidate{}, f.explain(readErr, i)
		}
		if last, err = f.candidate(i, b.Name, b.App, credentials); err != nil || !rejected.has(last.keys) {
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
	c.again = func(ctx context.Context, rejected keyring) (candidate, error) {
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
