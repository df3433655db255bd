package capi

import (
	"context"
	"net/url"
	"time"
)

// Binding is a service key, or what binds an app to a service instance.
type Binding struct {
	GUID         string
	Name         string // of the key; an app binding's may be empty
	InstanceGUID string
	AppGUID      string // of an app binding
	App          string // its name, where it is known
	Created      time.Time
	Ready        bool // it was made: not half made, not failed, not about to go
	Failed       bool // it could not be made; it stays in the list until it is deleted
}

type bindingResource struct {
	named
	CreatedAt     time.Time      `json:"created_at"`
	LastOperation *lastOperation `json:"last_operation"`
	Relationships struct {
		ServiceInstance reference `json:"service_instance"`
		App             reference `json:"app"`
	} `json:"relationships"`
}

type appResource struct{ named }

// Keys returns the service keys of an instance, the newest first; with names,
// only those of these names.
func (c *Client) Keys(ctx context.Context, instanceGUID string, names ...string) ([]Binding, error) {
	filter := url.Values{"type": {"key"}, "service_instance_guids": {instanceGUID}, "order_by": {"-created_at"}}
	if len(names) > 0 {
		filter.Set("names", values(names...))
	}
	return c.bindings(ctx, "listing service keys", filter)
}

// AppsOf returns what binds apps to an instance, the newest first.
func (c *Client) AppsOf(ctx context.Context, instanceGUID string) ([]Binding, error) {
	return c.bindings(ctx, "listing the apps of a service", url.Values{
		"type": {"app"}, "service_instance_guids": {instanceGUID}, "order_by": {"-created_at"}, "include": {"app"},
	})
}

// ServicesOf returns what binds an app to service instances.
func (c *Client) ServicesOf(ctx context.Context, appGUID string) ([]Binding, error) {
	return c.bindings(ctx, "listing the services of an app", url.Values{
		"type": {"app"}, "app_guids": {appGUID}, "order_by": {"-created_at"},
	})
}

func (c *Client) bindings(ctx context.Context, doing string, filter url.Values) ([]Binding, error) {
	var out []Binding
	apps := map[string]string{}
	err := list(ctx, c, doing, "/v3/service_credential_bindings", filter, func(r []bindingResource, in included) {
		for _, a := range in.Apps {
			apps[a.GUID] = a.Name
		}
		for _, b := range r {
			app := b.Relationships.App.Data.GUID
			out = append(out, Binding{
				GUID: b.GUID, Name: b.Name, Created: b.CreatedAt,
				InstanceGUID: b.Relationships.ServiceInstance.Data.GUID, AppGUID: app, App: apps[app],
				Ready:  b.LastOperation == nil || b.LastOperation.Type != "delete" && b.LastOperation.done(),
				Failed: b.LastOperation != nil && b.LastOperation.State == "failed",
			})
		}
	})
	return out, err
}

// Details returns the credentials of a key or an app binding. Only Space
// Developers may read them; for others the Cloud Controller says ErrNotFound.
// Each call is written to the platform's audit log.
func (c *Client) Details(ctx context.Context, bindingGUID string) (map[string]any, error) {
	var answer struct {
		Credentials map[string]any `json:"credentials"`
	}
	err := c.get(ctx, "reading credentials", "/v3/service_credential_bindings/"+url.PathEscape(bindingGUID)+"/details", &answer)
	return answer.Credentials, err
}

// UserProvided returns the credentials of a user-provided service instance.
func (c *Client) UserProvided(ctx context.Context, instanceGUID string) (map[string]any, error) {
	var answer map[string]any
	err := c.get(ctx, "reading credentials", "/v3/service_instances/"+url.PathEscape(instanceGUID)+"/credentials", &answer)
	return answer, err
}
