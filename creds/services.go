package creds

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/creds/capi"
)

// Service is an S3 service instance of a space.
type Service struct {
	Name     string
	Offering string // such as "s3"; empty for user-provided ones
	Plan     string
	Public   bool // by the plan, everybody may read every object
	Shared   bool // its home is another space
	Keys     []ServiceKey
	Binding  *Binding // nil where the credentials can't be read
	Err      error    // why they can't; nil with a Binding
}

// ServiceKey is a service key, without its secret.
type ServiceKey struct {
	Name  string
	State string // "ready", "failed" or "pending"
}

// Services returns the S3 services of the space that cf targets, or that the
// request names, with the credentials of each where this user may read them.
// Reading them is written to the platform's audit log.
func Services(ctx context.Context, r Request) ([]Service, error) {
	f := &cloudFoundry{Request: r.withDefaults()}
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	found, err := f.s3Instances(ctx)
	if err != nil {
		return nil, err
	}
	if r.Service != "" {
		i, err := f.instance(ctx)
		if err != nil {
			return nil, err
		}
		found = []capi.Instance{i}
	}
	out := make([]Service, len(found))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for n, i := range found {
		g.Go(func() (err error) {
			out[n], err = f.service(groupCtx, i)
			return err
		})
	}
	return out, g.Wait()
}

func (f *cloudFoundry) service(ctx context.Context, i capi.Instance) (Service, error) {
	s := Service{
		Name: i.Name, Offering: i.Offering, Plan: i.Plan, Public: publicPlan(i.Plan),
		Shared: i.SpaceGUID != "" && i.SpaceGUID != f.spaceGUID,
	}
	if i.Managed {
		keys, err := f.api.Keys(ctx, i.GUID)
		if err != nil {
			return s, err
		}
		for _, k := range keys {
			s.Keys = append(s.Keys, ServiceKey{Name: k.Name, State: stateOf(k)})
		}
	}
	c, err := f.read(ctx, i, nil, false)
	if err != nil {
		s.Err = err
		return s, ctx.Err()
	}
	b := f.bind(c)
	s.Binding = &b
	return s, nil
}

func stateOf(k capi.Binding) string {
	switch {
	case k.Failed:
		return "failed"
	case k.Ready:
		return "ready"
	}
	return "pending"
}

// ServiceNames returns the names of the S3 services of the space, for the
// shell's completion. It reads no credentials.
func ServiceNames(ctx context.Context, r Request) ([]string, error) {
	f := &cloudFoundry{Request: r.withDefaults()}
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	found, err := f.s3Instances(ctx)
	var names []string
	for _, i := range found {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	return names, err
}
