package capitest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// expired reads the end of a token's life from itself.
func (f *Foundation) expired(token string) bool {
	var claims struct{ Exp int64 }
	if parts := strings.Split(token, "."); len(parts) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(text, &claims) //nolint:errcheck // then it has expired
	}
	return !time.Unix(claims.Exp, 0).After(f.now())
}

func (f *Foundation) listInstances(c call) {
	q, ok := c.filter("names", "space_guids", "type", "fields[service_plan]", "fields[service_plan.service_offering]")
	if !ok {
		return
	}
	var out, plans, offerings []any
	for _, i := range f.instances {
		inSpace := slices.ContainsFunc(append([]*space{i.space}, i.shared...), func(s *space) bool {
			return q.lets("space_guids", s.guid) && f.role(c.user, s) != ""
		})
		if !inSpace || !q.lets("names", i.name) {
			continue
		}
		r := resource(i.guid, i.name)
		relations := map[string]any{"space": relation(i.space.guid)}
		r["tags"], r["type"], r["relationships"] = i.tags, "user-provided", relations
		r["last_operation"] = map[string]string{"type": "create", "state": "succeeded"}
		if i.tags == nil {
			r["tags"] = []string{}
		}
		if i.plan != nil {
			r["type"] = "managed"
			relations["service_plan"] = relation(i.plan.guid)
			p := map[string]any{"guid": i.plan.guid, "name": i.plan.name, "relationships": map[string]any{"service_offering": relation(i.plan.offering.guid)}}
			plans = append(plans, p)
			offerings = append(offerings, map[string]any{"guid": i.plan.offering.guid, "name": i.plan.offering.name, "tags": i.plan.offering.tags})
		}
		out = append(out, r)
	}
	c.page(q, out, map[string]any{"service_plans": plans, "service_offerings": offerings})
}

func (f *Foundation) listBindings(c call) {
	q, ok := c.filter("type", "names", "service_instance_guids", "app_guids", "include")
	if !ok {
		return
	}
	found := slices.Clone(f.bindings)
	if q["order_by"] != nil && q["order_by"][0] == "-created_at" {
		slices.SortStableFunc(found, func(a, b *binding) int { return b.created.Compare(a.created) })
	}
	var out, apps []any
	for _, b := range found {
		kind, appGUID := "key", ""
		if b.app != nil {
			kind, appGUID = "app", b.app.guid
		}
		if !f.sees(c.user, b.instance) || !q.lets("type", kind) || !q.lets("names", b.name) ||
			!q.lets("service_instance_guids", b.instance.guid) || !q.lets("app_guids", appGUID) {
			continue
		}
		r := resource(b.guid, b.name)
		relations := map[string]any{"service_instance": relation(b.instance.guid)}
		r["type"], r["created_at"], r["relationships"] = kind, b.created.UTC().Format(time.RFC3339), relations
		r["last_operation"] = map[string]string{"type": b.operation, "state": b.state}
		if b.app != nil {
			relations["app"] = relation(appGUID)
			apps = append(apps, resource(appGUID, b.app.name))
			if b.name == "" {
				r["name"] = nil
			}
		}
		out = append(out, r)
	}
	c.page(q, out, map[string]any{"apps": apps})
}

func (f *Foundation) details(c call) {
	b := f.bindingOf(c.guid())
	const what = "Service credential binding"
	if b == nil {
		c.notFound(what)
		return
	}
	where := b.instance.space
	if b.app != nil {
		where = b.app.space
	}
	switch {
	case f.role(c.user, where) != Developer:
		c.notFound(what)
	case b.state != "succeeded":
		c.fail(http.StatusNotFound, 10010, "CF-ResourceNotFound", "Creation of service key "+b.state)
	default:
		f.audited = append(f.audited, "show "+b.guid)
		answer(c.w, http.StatusOK, map[string]any{"credentials": b.credentials, "volume_mounts": []any{}})
	}
}

func (f *Foundation) userProvided(c call) {
	i := f.instanceOf(c.guid())
	if i == nil || i.plan != nil || f.role(c.user, i.space) != Developer {
		c.notFound("Service instance")
		return
	}
	f.audited = append(f.audited, "show "+i.guid)
	answer(c.w, http.StatusOK, i.credentials)
}

func (f *Foundation) appEnv(c call) {
	var a *app
	for _, candidate := range f.apps {
		if candidate.guid == c.guid() {
			a = candidate
		}
	}
	if a == nil || f.role(c.user, a.space) == "" {
		c.notFound("App")
		return
	}
	var system map[string]any
	switch f.role(c.user, a.space) {
	case Developer:
		f.audited = append(f.audited, "env "+a.guid)
		system = map[string]any{"VCAP_SERVICES": f.vcapServices(a)}
		if a.fileBased {
			system = map[string]any{"VCAP_SERVICES_FILE_PATH": "/etc/cf-service-bindings/vcap_services"}
		}
	case Supporter:
		system = map[string]any{"redacted_message": "[PRIVATE DATA HIDDEN]"}
	default:
		c.fail(http.StatusForbidden, 10003, "CF-NotAuthorized", "You are not authorized to perform the requested action")
		return
	}
	answer(c.w, http.StatusOK, map[string]any{
		"system_env_json": system, "environment_variables": map[string]any{"GREETING": "hello"},
		"application_env_json": map[string]any{"VCAP_APPLICATION": map[string]any{"name": a.name}},
	})
}

func (f *Foundation) vcapServices(a *app) map[string][]any {
	out := map[string][]any{}
	for _, b := range f.bindings {
		if b.app != a {
			continue
		}
		label := "user-provided"
		s := map[string]any{
			"name": b.instance.name, "instance_name": b.instance.name, "instance_guid": b.instance.guid,
			"binding_guid": b.guid, "binding_name": nil, "tags": b.instance.tags, "credentials": b.credentials,
			"syslog_drain_url": nil, "volume_mounts": []any{},
		}
		if b.instance.plan != nil {
			label = b.instance.plan.offering.name
			s["plan"], s["tags"], s["provider"] = b.instance.plan.name, b.instance.plan.offering.tags, nil
		}
		s["label"] = label
		out[label] = append(out[label], s)
	}
	return out
}

func (f *Foundation) createKey(c call) {
	var body struct {
		Type, Name    string
		Parameters    map[string]any
		Relationships struct {
			Instance struct{ Data struct{ GUID string } } `json:"service_instance"`
		}
	}
	if json.NewDecoder(c.r.Body).Decode(&body) != nil || body.Type != "key" || body.Name == "" {
		c.fail(http.StatusUnprocessableEntity, 10008, "CF-UnprocessableEntity", "the request is not a key")
		return
	}
	i := f.instanceOf(body.Relationships.Instance.Data.GUID)
	unprocessable := func(text string) { c.fail(http.StatusUnprocessableEntity, 10008, "CF-UnprocessableEntity", text) }
	switch {
	case i == nil || !f.sees(c.user, i):
		unprocessable("The service instance could not be found: '" + body.Relationships.Instance.Data.GUID + "'")
		return
	case f.role(c.user, i.space) != Developer:
		c.fail(http.StatusForbidden, 10003, "CF-NotAuthorized", "You are not authorized to perform the requested action")
		return
	case i.plan == nil:
		unprocessable("Service credential bindings of type 'key' are not supported for user-provided service instances.")
		return
	}
	for _, b := range f.bindings {
		if b.instance == i && b.app == nil && b.name == body.Name {
			unprocessable("The binding name is invalid. Key binding names must be unique. The service instance already has a key binding with name '" + body.Name + "'.")
			return
		}
	}
	b := f.newBinding(i, body.Name, "in progress")
	f.accept(c, func() error {
		credentials, err := f.Broker(i.name, b.name, body.Parameters)
		b.state, b.credentials = "succeeded", credentials
		if err != nil {
			b.state = "failed"
		}
		return err
	})
}

func (f *Foundation) deleteKey(c call) {
	b := f.bindingOf(c.guid())
	switch {
	case b == nil || !f.sees(c.user, b.instance):
		c.notFound("Service credential binding")
	case f.role(c.user, b.instance.space) != Developer:
		c.fail(http.StatusForbidden, 10003, "CF-NotAuthorized", "You are not authorized to perform the requested action")
	default:
		b.operation, b.state = "delete", "in progress"
		f.accept(c, func() error {
			f.removeBinding(b.guid)
			if f.Unbind != nil {
				f.Unbind(b.credentials)
			}
			return nil
		})
	}
}

// accept answers 202 with the address of a job.
func (f *Foundation) accept(c call, finish func() error) {
	guid := f.guid("job")
	f.jobs[guid] = &job{polls: f.JobPolls, finish: finish, state: "PROCESSING"}
	c.w.Header().Set("Location", "https://api.example.invalid/v3/jobs/"+guid)
	c.w.WriteHeader(http.StatusAccepted)
}

func (f *Foundation) showJob(c call) {
	j := f.jobs[c.guid()]
	if j == nil {
		c.notFound("Job")
		return
	}
	if j.state == "PROCESSING" {
		if j.polls--; j.polls < 0 {
			j.state = "COMPLETE"
			if err := j.finish(); err != nil {
				j.state, j.detail = "FAILED", err.Error()
			}
		}
	}
	body := map[string]any{"guid": c.guid(), "state": j.state, "errors": []any{}, "warnings": []any{}}
	if j.detail != "" {
		body["errors"] = []map[string]any{{"code": 10009, "title": "CF-UnableToPerform", "detail": "bind could not be completed: " + j.detail}}
	}
	answer(c.w, http.StatusOK, body)
}
