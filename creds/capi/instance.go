package capi

import (
	"context"
	"net/url"
)

// Instance is a service instance.
type Instance struct {
	GUID      string
	Name      string
	Managed   bool   // by a broker; the others are user-provided
	Offering  string // such as "s3"; empty for user-provided ones
	Plan      string // such as "basic"
	Tags      []string
	SpaceGUID string // its home; another than asked for if it is shared
	Ready     bool   // its last operation has succeeded, or there was none
}

type reference struct {
	Data struct {
		GUID string `json:"guid"`
	} `json:"data"`
}

type lastOperation struct {
	Type  string `json:"type"`
	State string `json:"state"`
}

// done tells whether the resource is there: an operation may be missing (old
// resources have none), and a failed update leaves what was before.
func (o *lastOperation) done() bool {
	return o == nil || o.State == "" || o.State == "succeeded" || o.Type == "update"
}

type instanceResource struct {
	named
	Type          string         `json:"type"`
	Tags          []string       `json:"tags"`
	LastOperation *lastOperation `json:"last_operation"`
	Relationships struct {
		Space       reference `json:"space"`
		ServicePlan reference `json:"service_plan"`
	} `json:"relationships"`
}

type planResource struct {
	named
	Available     *bool `json:"available"`
	Relationships struct {
		ServiceOffering reference `json:"service_offering"`
	} `json:"relationships"`
}

type offeringResource struct {
	named
	Tags        []string `json:"tags"`
	Description string   `json:"description"`
}

// Instances returns the service instances of a space, those shared into it
// included; with names, only those of these names.
func (c *Client) Instances(ctx context.Context, spaceGUID string, names ...string) ([]Instance, error) {
	filter := url.Values{
		"space_guids":                           {spaceGUID},
		"order_by":                              {"name"},
		"fields[service_plan]":                  {"guid,name,relationships.service_offering"},
		"fields[service_plan.service_offering]": {"guid,name,tags"},
	}
	if len(names) > 0 {
		filter.Set("names", values(names...))
	}
	var found []instanceResource
	plans, offerings := map[string]planResource{}, map[string]offeringResource{}
	err := list(ctx, c, "listing service instances", "/v3/service_instances", filter, func(r []instanceResource, in included) {
		found = append(found, r...)
		for _, p := range in.ServicePlans {
			plans[p.GUID] = p
		}
		for _, o := range in.ServiceOfferings {
			offerings[o.GUID] = o
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]Instance, len(found))
	for i, r := range found {
		plan := plans[r.Relationships.ServicePlan.Data.GUID]
		offering := offerings[plan.Relationships.ServiceOffering.Data.GUID]
		out[i] = Instance{
			GUID: r.GUID, Name: r.Name, Managed: r.Type != "user-provided",
			Offering: offering.Name, Plan: plan.Name, Tags: append(r.Tags, offering.Tags...),
			SpaceGUID: r.Relationships.Space.Data.GUID, Ready: r.LastOperation.done(),
		}
	}
	return out, nil
}

// Offering is a service that the marketplace of a space shows.
type Offering struct {
	Name  string
	Tags  []string
	Plans []string // those that may be had
}

// Offerings returns what a space's marketplace shows.
func (c *Client) Offerings(ctx context.Context, spaceGUID string) ([]Offering, error) {
	filter := url.Values{"space_guids": {spaceGUID}, "available": {"true"}, "include": {"service_offering"}}
	var order []string
	byGUID := map[string]*Offering{}
	var plans []planResource
	err := list(ctx, c, "reading the marketplace", "/v3/service_plans", filter, func(r []planResource, in included) {
		plans = append(plans, r...)
		for _, o := range in.ServiceOfferings {
			if byGUID[o.GUID] == nil {
				byGUID[o.GUID] = &Offering{Name: o.Name, Tags: o.Tags}
				order = append(order, o.GUID)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		if o := byGUID[p.Relationships.ServiceOffering.Data.GUID]; o != nil {
			o.Plans = append(o.Plans, p.Name)
		}
	}
	out := make([]Offering, len(order))
	for i, guid := range order {
		out[i] = *byGUID[guid]
	}
	return out, nil
}
