package capitest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (f *Foundation) routes(mux *http.ServeMux) {
	for pattern, h := range map[string]func(call){
		"GET /v3/organizations":                              f.listOrgs,
		"GET /v3/spaces":                                     f.listSpaces,
		"GET /v3/apps":                                       f.listApps,
		"GET /v3/apps/{guid}/env":                            f.appEnv,
		"GET /v3/service_plans":                              f.listPlans,
		"GET /v3/service_instances":                          f.listInstances,
		"GET /v3/service_instances/{guid}/credentials":       f.userProvided,
		"GET /v3/service_credential_bindings":                f.listBindings,
		"GET /v3/service_credential_bindings/{guid}/details": f.details,
		"POST /v3/service_credential_bindings":               f.createKey,
		"DELETE /v3/service_credential_bindings/{guid}":      f.deleteKey,
		"GET /v3/jobs/{guid}":                                f.showJob,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			user, ok := f.authenticate(w, r)
			if ok {
				h(call{w, r, user})
			}
		})
	}
}

// call is a request of a user who is logged in.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	user string
}

func (c call) guid() string { return c.r.PathValue("guid") }

func (c call) fail(status, code int, title, detail string) {
	answer(c.w, status, map[string]any{"errors": []map[string]any{{"code": code, "title": title, "detail": detail}}})
}

func (c call) notFound(what string) {
	c.fail(http.StatusNotFound, 10010, "CF-ResourceNotFound", what+" not found")
}

// middle records requests and answers the planned faults.
func (f *Foundation) middle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
		w.Header().Set("X-Vcap-Request-Id", fmt.Sprintf("request-%d", len(f.requests)))
		for _, fault := range f.faults {
			if fault.times > 0 && strings.HasPrefix(r.URL.Path, fault.path) {
				fault.times--
				f.mu.Unlock()
				for name, values := range fault.header {
					w.Header()[name] = values
				}
				w.WriteHeader(fault.status)
				w.Write([]byte(fault.body)) //nolint:errcheck // the client went away
				return
			}
		}
		f.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (f *Foundation) authenticate(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	c := call{w: w, r: r}
	header := r.Header.Get("Authorization")
	if header == "" {
		c.fail(http.StatusUnauthorized, 10002, "CF-NotAuthenticated", "Authentication error")
		return "", false
	}
	token := strings.TrimPrefix(header, "bearer ")
	user, known := f.tokens[token]
	if !known || f.expired(token) {
		c.fail(http.StatusUnauthorized, 1000, "CF-InvalidAuthToken", "Invalid Auth Token")
		return "", false
	}
	return user, true
}

func (f *Foundation) role(user string, s *space) Role {
	if s == nil {
		return ""
	}
	return f.roles[user+"\x00"+s.guid]
}

// sees tells whether a user has any role where the instance is to be seen.
func (f *Foundation) sees(user string, i *instance) bool {
	return slices.ContainsFunc(append([]*space{i.space}, i.shared...), func(s *space) bool { return f.role(user, s) != "" })
}

// filter reads the query. The Cloud Controller splits at commas and unescapes
// each element again; parameters that it doesn't know it refuses.
type filter map[string][]string

func (c call) filter(allowed ...string) (filter, bool) {
	out := filter{}
	for name, raw := range c.r.URL.Query() {
		if !slices.Contains(append(allowed, "per_page", "page", "order_by"), name) {
			c.fail(http.StatusBadRequest, 10005, "CF-BadQueryParameter", "The query parameter is invalid: Unknown query parameter(s): '"+name+"'")
			return nil, false
		}
		for _, part := range strings.Split(raw[0], ",") {
			plain, err := url.QueryUnescape(part)
			if err != nil {
				plain = part
			}
			out[name] = append(out[name], plain)
		}
	}
	return out, true
}

// lets tells whether a filter lets a value pass; one that is absent lets all.
func (f filter) lets(name, value string) bool {
	return f[name] == nil || slices.Contains(f[name], value)
}

// page writes one page of resources.
func (c call) page(f filter, resources []any, included map[string]any) {
	size, number := 50, 1
	for name, field := range map[string]*int{"per_page": &size, "page": &number} {
		if f[name] != nil {
			n, err := strconv.Atoi(f[name][0])
			if err != nil || n < 1 || n > 5000 {
				c.fail(http.StatusBadRequest, 10005, "CF-BadQueryParameter", "The query parameter is invalid: "+name+" must be between 1 and 5000")
				return
			}
			*field = n
		}
	}
	total := len(resources)
	from, to := min((number-1)*size, total), min(number*size, total)
	pagination := map[string]any{"total_results": total, "total_pages": (total + size - 1) / size, "next": nil}
	if to < total {
		q := c.r.URL.Query()
		q.Set("page", strconv.Itoa(number+1))
		pagination["next"] = map[string]string{"href": "https://api.example.invalid" + c.r.URL.Path + "?" + q.Encode()}
	}
	body := map[string]any{"pagination": pagination, "resources": resources[from:to]}
	if resources == nil {
		body["resources"] = []any{}
	}
	if included != nil {
		body["included"] = included
	}
	answer(c.w, http.StatusOK, body)
}

func resource(guid, name string) map[string]any {
	return map[string]any{"guid": guid, "name": name, "metadata": map[string]any{"labels": map[string]any{}}}
}

func relation(guid string) map[string]any {
	return map[string]any{"data": map[string]any{"guid": guid}}
}

func (f *Foundation) listOrgs(c call) {
	q, ok := c.filter("names")
	if !ok {
		return
	}
	var out []any
	for _, o := range f.orgs {
		visible := slices.ContainsFunc(f.spaces, func(s *space) bool { return s.org == o && f.role(c.user, s) != "" })
		if visible && q.lets("names", o.name) {
			out = append(out, resource(o.guid, o.name))
		}
	}
	c.page(q, out, nil)
}

func (f *Foundation) listSpaces(c call) {
	q, ok := c.filter("names", "organization_guids")
	if !ok {
		return
	}
	var out []any
	for _, s := range f.spaces {
		if f.role(c.user, s) != "" && q.lets("names", s.name) && q.lets("organization_guids", s.org.guid) {
			out = append(out, resource(s.guid, s.name))
		}
	}
	c.page(q, out, nil)
}

func (f *Foundation) listApps(c call) {
	q, ok := c.filter("names", "space_guids")
	if !ok {
		return
	}
	var out []any
	for _, a := range f.apps {
		if f.role(c.user, a.space) != "" && q.lets("names", a.name) && q.lets("space_guids", a.space.guid) {
			out = append(out, resource(a.guid, a.name))
		}
	}
	c.page(q, out, nil)
}

func (f *Foundation) listPlans(c call) {
	q, ok := c.filter("space_guids", "available", "include", "names", "service_offering_names")
	if !ok {
		return
	}
	var plans, offerings []any
	for _, o := range f.offerings {
		r := resource(o.guid, o.name)
		r["tags"] = o.tags
		offerings = append(offerings, r)
		for _, p := range o.plans {
			r := resource(p.guid, p.name)
			r["available"] = true
			r["relationships"] = map[string]any{"service_offering": relation(o.guid)}
			plans = append(plans, r)
		}
	}
	c.page(q, plans, map[string]any{"service_offerings": offerings})
}
