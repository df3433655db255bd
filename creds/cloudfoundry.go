package creds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		c, err := f.read(ctx, i, nil, f.CreateKey)
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
		c, err := f.read(ctx, found[0], nil, f.CreateKey)
		return []candidate{c}, err
	}
	return f.readAll(ctx, found)
}
