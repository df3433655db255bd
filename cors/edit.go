package cors

import (
	"fmt"
	"slices"
	"strings"
)

// Grant is what Allow adds to rules.
type Grant struct {
	Origins []string
	Methods []string
	Headers []string // request headers; * for any
	Expose  []string // response headers
	MaxAge  *int32   // seconds; nil leaves it as it is
	ID      string   // of the rule to change or make; empty lets Allow choose
}

// Allow returns rules under which all that g names is allowed, changing as
// little as it can. It takes nothing away from anybody, and gives nothing to an
// origin that g doesn't name:
//
//   - what the rules allow already is left alone;
//   - a rule for exactly g's origins is widened;
//   - a rule that allows exactly the same things gets g's origins added;
//   - otherwise there is a new rule.
//
// With an ID only the rule of that ID is looked at; it is an error if changing
// it would break that promise. rules is left alone.
func Allow(rules []Rule, g Grant) ([]Rule, error) {
	g = g.normal()
	if g.ID != "" {
		if i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == g.ID }); i >= 0 {
			return allowIn(rules, i, g)
		}
		return insert(rules, g), nil
	}
	if granted(rules, g) {
		return cloneAll(rules), nil
	}
	for i, r := range rules {
		if sameSet(r.AllowedOrigins, g.Origins) {
			if out := widened(rules, i, g); granted(out, g) {
				return out, nil
			}
		}
	}
	for i, r := range rules {
		if sameTerms(r, g) {
			if out := joined(rules, i, g); granted(out, g) && !exposesLess(out, i, g) {
				return out, nil
			}
		}
	}
	return insert(rules, g), nil
}

// allowIn adds g to rule i, which has its ID.
func allowIn(rules []Rule, i int, g Grant) ([]Rule, error) {
	r := rules[i]
	if sameSet(r.AllowedOrigins, g.Origins) {
		return widened(rules, i, g), nil
	}
	if sameTerms(r, g) {
		if out := joined(rules, i, g); !exposesLess(out, i, g) {
			return out, nil
		}
	}
	return nil, fmt.Errorf("rule %q is for other things (%s from %s), and merging would give both to all; choose another id, or none",
		g.ID, among(r.AllowedMethods), among(r.AllowedOrigins))
}

// normal is g without repetitions.
func (g Grant) normal() Grant {
	g.Origins = union(nil, g.Origins)
	g.Methods = union(nil, g.Methods)
	g.Headers = unionFold(nil, g.Headers)
	g.Expose = unionFold(nil, g.Expose)
	return g
}

func (g Grant) rule() Rule {
	return Rule{
		ID: g.ID, AllowedOrigins: g.Origins, AllowedMethods: g.Methods,
		AllowedHeaders: g.Headers, ExposeHeaders: g.Expose, MaxAgeSeconds: g.MaxAge,
	}
}

// granted tells whether each of g's origins may do all of it, as the first rule
// that answers decides.
func granted(rules []Rule, g Grant) bool {
	for _, o := range g.Origins {
		for _, m := range g.Methods {
			if !grantedTo(rules, g, o, m) {
				return false
			}
		}
	}
	return true
}

// grantedTo looks for the rule that allows it with all headers. The rules
// before it answer the same request with fewer headers, so they must expose as
// much, or the page would miss what g promises.
func grantedTo(rules []Rule, g Grant, origin, method string) bool {
	for _, r := range rules {
		if !collides(r, origin, method) {
			continue
		}
		if !exposes(r, g) {
			return false
		}
		headers := lower(r.AllowedHeaders)
		if anyCovers(r.AllowedOrigins, origin) &&
			all(lower(g.Headers), func(h string) bool { return anyCovers(headers, h) }) {
			return true
		}
	}
	return false
}

// collides tells whether r answers some request of a site that origin matches.
func collides(r Rule, origin, method string) bool {
	return slices.Contains(r.AllowedMethods, method) &&
		slices.ContainsFunc(r.AllowedOrigins, func(o string) bool { return overlap(o, origin) })
}

func exposes(r Rule, g Grant) bool {
	have := lower(r.ExposeHeaders)
	return all(lower(g.Expose), func(h string) bool { return slices.Contains(have, h) }) &&
		(g.MaxAge == nil || equalAge(r.MaxAgeSeconds, g.MaxAge))
}

// widened gives the origins of rule i, which are g's, what g names as well.
func widened(rules []Rule, i int, g Grant) []Rule {
	out := cloneAll(rules)
	r := &out[i]
	r.AllowedMethods = union(r.AllowedMethods, g.Methods)
	r.AllowedHeaders = unionFold(r.AllowedHeaders, g.Headers)
	r.ExposeHeaders = unionFold(r.ExposeHeaders, g.Expose)
	if g.MaxAge != nil {
		r.MaxAgeSeconds = g.MaxAge
	}
	r.ExposeHeaders = unionFold(r.ExposeHeaders, exposedLater(out, i, g))
	return out
}

// joined adds g's origins to rule i, which allows what g names.
func joined(rules []Rule, i int, g Grant) []Rule {
	out := cloneAll(rules)
	out[i].AllowedOrigins = union(out[i].AllowedOrigins, g.Origins)
	return out
}

// insert adds a rule for g: at the end, where it can't change what any other
// rule answers, unless an earlier rule would answer first with less. Then it
// goes before that one.
func insert(rules []Rule, g Grant) []Rule {
	at := slices.IndexFunc(rules, func(r Rule) bool {
		return !exposes(r, g) && collidesAny(r, g.Origins, g.Methods)
	})
	if at < 0 {
		at = len(rules)
	}
	out := slices.Insert(cloneAll(rules), at, g.rule())
	out[at].ExposeHeaders = unionFold(out[at].ExposeHeaders, exposedLater(out, at, g))
	return out
}

// exposedLater are the headers that g's origins may read by the rules after
// rule i, whose answers rule i takes over.
func exposedLater(rules []Rule, i int, g Grant) []string {
	var out []string
	for _, r := range rules[i+1:] {
		if collidesAny(r, g.Origins, rules[i].AllowedMethods) {
			out = unionFold(out, r.ExposeHeaders)
		}
	}
	return out
}

func exposesLess(rules []Rule, i int, g Grant) bool {
	have := lower(rules[i].ExposeHeaders)
	return !all(lower(exposedLater(rules, i, g)), func(h string) bool { return slices.Contains(have, h) })
}

func collidesAny(r Rule, origins, methods []string) bool {
	return slices.ContainsFunc(origins, func(o string) bool {
		return slices.ContainsFunc(methods, func(m string) bool { return collides(r, o, m) })
	})
}

// sameTerms tells whether r allows its origins exactly what g names.
func sameTerms(r Rule, g Grant) bool {
	return sameSet(r.AllowedMethods, g.Methods) &&
		sameSet(lower(r.AllowedHeaders), lower(g.Headers)) &&
		sameSet(lower(r.ExposeHeaders), lower(g.Expose)) &&
		(g.MaxAge == nil || equalAge(r.MaxAgeSeconds, g.MaxAge))
}

// Deny returns rules without those origins, as they are written, and without
// the rules that are left without an origin. missing are those that no rule
// names. rules is left alone.
func Deny(rules []Rule, origins []string) (kept []Rule, missing []string) {
	for _, r := range cloneAll(rules) {
		before := len(r.AllowedOrigins)
		r.AllowedOrigins = slices.DeleteFunc(r.AllowedOrigins, func(o string) bool { return slices.Contains(origins, o) })
		if len(r.AllowedOrigins) > 0 || before == 0 {
			kept = append(kept, r)
		}
	}
	for _, o := range origins {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return slices.Contains(r.AllowedOrigins, o) }) {
			missing = append(missing, o)
		}
	}
	return kept, missing
}

// StillAllowed returns the patterns in rules that match origin.
func StillAllowed(rules []Rule, origin string) []string {
	var out []string
	for _, r := range rules {
		for _, o := range r.AllowedOrigins {
			if covers(o, origin) {
				out = union(out, []string{o})
			}
		}
	}
	return out
}

// union appends what more has and values hasn't.
func union(values, more []string) []string {
	for _, m := range more {
		if !slices.Contains(values, m) {
			values = append(values, m)
		}
	}
	return values
}

// unionFold is union for header names, in which case doesn't count.
func unionFold(values, more []string) []string {
	for _, m := range more {
		if !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, m) }) {
			values = append(values, m)
		}
	}
	return values
}

func sameSet(a, b []string) bool {
	return all(a, func(v string) bool { return slices.Contains(b, v) }) &&
		all(b, func(v string) bool { return slices.Contains(a, v) })
}
