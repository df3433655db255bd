package cors

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Request is what S3 looks at when it applies the rules.
type Request struct {
	Origin  string
	Method  string   // of a preflight: Access-Control-Request-Method
	Headers []string // of a preflight: Access-Control-Request-Headers; not looked at otherwise

	// Preflight says that this is the question before the request, not the
	// request itself.
	Preflight bool
}

// Answer is what S3 answers a Request by the rules.
type Answer struct {
	Allowed bool
	Rule    int    // index of the rule that allows it; -1 if none does
	Misses  []Miss // why each rule before it, or each rule, doesn't

	// The response's headers, without the Access-Control- prefix. All are
	// empty when the request isn't allowed.
	AllowOrigin      string // the request's origin, or * where the rule allows every origin
	AllowCredentials bool   // not with *, which browsers refuse together with cookies
	AllowMethods     []string
	AllowHeaders     []string // of a preflight: what was asked for, in lower case
	ExposeHeaders    []string
	MaxAgeSeconds    *int32
}

// Miss says why a rule doesn't allow a request.
type Miss struct {
	Rule int // index
	Text string
}

// Evaluate applies rules as S3 documents it: the first rule decides of which an
// AllowedOrigin matches the origin, an AllowedMethod is the method and, for a
// preflight, an AllowedHeader matches each requested header.
func Evaluate(rules []Rule, q Request) Answer {
	a := Answer{Rule: -1}
	if q.Origin == "" {
		return a // no question: S3 answers a preflight without an origin by 400, a request as if there were no rules
	}
	headers := requestHeaders(q)
	for i, r := range rules {
		if why := miss(r, q, headers); why != "" {
			a.Misses = append(a.Misses, Miss{i, why})
			continue
		}
		a.Allowed, a.Rule = true, i
		a.AllowOrigin, a.AllowCredentials = q.Origin, true
		// Of a rule that lists * beside the origin, S3 doesn't document which it
		// echoes; pages without cookies can't tell.
		if slices.Contains(r.AllowedOrigins, "*") {
			a.AllowOrigin, a.AllowCredentials = "*", false
		}
		a.AllowMethods = slices.Clone(r.AllowedMethods)
		a.AllowHeaders = headers
		a.ExposeHeaders = slices.Clone(r.ExposeHeaders)
		a.MaxAgeSeconds = r.MaxAgeSeconds
		break
	}
	return a
}

// requestHeaders are the header names a preflight asks for, in lower case. A
// browser sends them joined by commas, which ParseHeaders takes apart.
func requestHeaders(q Request) []string {
	if !q.Preflight {
		return nil
	}
	return lower(q.Headers)
}

// ParseHeaders takes the value of Access-Control-Request-Headers apart.
func ParseHeaders(value string) []string {
	var out []string
	for h := range strings.SplitSeq(value, ",") {
		if h = strings.TrimSpace(h); h != "" {
			out = append(out, h)
		}
	}
	return out
}

// miss says why r doesn't allow q; empty if it does. headers are in lower case.
func miss(r Rule, q Request, headers []string) string {
	if !slices.ContainsFunc(r.AllowedOrigins, func(p string) bool { return matches(p, q.Origin) }) {
		return fmt.Sprintf("allows %s, not %s%s", among(r.AllowedOrigins), q.Origin, nearMiss(r.AllowedOrigins, q.Origin))
	}
	if !slices.Contains(r.AllowedMethods, q.Method) {
		return fmt.Sprintf("allows %s, not %s", among(r.AllowedMethods), q.Method)
	}
	allowed := lower(r.AllowedHeaders)
	for _, h := range headers {
		if !slices.ContainsFunc(allowed, func(p string) bool { return matches(p, h) }) {
			return fmt.Sprintf("allows %s, not the header %s", amongHeaders(r.AllowedHeaders), h)
		}
	}
	return ""
}

// shown is how many values a reason lists before it only counts them.
const shown = 4

func among(values []string) string {
	var out []string
	for _, v := range values[:min(len(values), shown)] {
		out = append(out, Show(v))
	}
	if len(values) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(out, ", "), len(values)-shown)
	}
	return strings.Join(out, ", ")
}

func amongHeaders(values []string) string {
	if len(values) == 0 {
		return "no request headers"
	}
	return "the headers " + among(values)
}

// nearMiss explains the refusals that people stare at longest: an origin of the
// same host that differs only in its scheme, its port or its case.
func nearMiss(allowed []string, origin string) string {
	want, err := url.Parse(origin)
	if err != nil || want.Host == "" {
		return ""
	}
	for _, a := range allowed {
		have, err := url.Parse(a)
		if err != nil || !strings.EqualFold(have.Hostname(), want.Hostname()) {
			continue
		}
		switch {
		case have.Scheme != want.Scheme:
			return fmt.Sprintf(" (%s differs in the scheme)", Show(a))
		case have.Port() != want.Port():
			return fmt.Sprintf(" (%s differs in the port)", Show(a))
		default:
			return fmt.Sprintf(" (%s is written differently)", Show(a))
		}
	}
	return ""
}
