package cors

import (
	"fmt"
	"slices"
	"strings"
)

// What browsers do, from the Fetch standard: sections "CORS-preflight fetch",
// "CORS check", "CORS-safelisted request-header", "forbidden request-header"
// and "forbidden response-header name".

// safeMethods are those that a browser sends without a preflight.
func safeMethods() []string { return []string{"GET", "HEAD", "POST"} }

// NeedsPreflight tells whether a browser asks before it sends such a request.
// Content-Type is taken to be something that a form doesn't send, such as
// application/json.
func NeedsPreflight(method string, headers []string) bool {
	return !slices.Contains(safeMethods(), method) || len(AskedFor(headers)) > 0
}

// AskedFor are those of a request's headers that a browser names in a
// preflight: the others it sends to anybody.
func AskedFor(headers []string) []string {
	safe := []string{"accept", "accept-language", "content-language"}
	return slices.DeleteFunc(slices.Clone(headers), func(h string) bool { return slices.Contains(safe, strings.ToLower(h)) })
}

// neverSent tells whether a page can't set this request header, so that no
// preflight ever asks for it. name is in lower case.
func neverSent(name string) bool {
	if strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "sec-") {
		return true
	}
	return slices.Contains([]string{
		"accept-charset", "accept-encoding", "access-control-request-headers", "access-control-request-method",
		"access-control-request-private-network", "connection", "content-length", "cookie", "cookie2", "date", "dnt",
		"expect", "host", "keep-alive", "origin", "referer", "set-cookie", "te", "trailer", "transfer-encoding",
		"upgrade", "via",
	}, name)
}

// neverShown tells whether browsers hide this response header from pages
// whatever the server says. name is in lower case.
func neverShown(name string) bool { return name == "set-cookie" || name == "set-cookie2" }

// Response is what a server really answered.
type Response struct {
	Status       int
	AllowOrigin  string // Access-Control-Allow-Origin; empty if absent
	AllowMethods string // of a preflight
	AllowHeaders string // of a preflight
}

// Accepts decides as a browser does whether the page may go on (after a
// preflight) or read the answer (after a request without cookies). If not, why
// says what the browser would complain about.
func Accepts(q Request, r Response) (ok bool, why string) {
	switch {
	case r.AllowOrigin == "":
		return false, "there is no Access-Control-Allow-Origin in the answer"
	case r.AllowOrigin != "*" && r.AllowOrigin != q.Origin:
		return false, fmt.Sprintf("Access-Control-Allow-Origin is %q", r.AllowOrigin)
	case !q.Preflight:
		return true, ""
	case r.Status < 200 || r.Status > 299:
		return false, fmt.Sprintf("the preflight was answered by HTTP %d", r.Status)
	}
	methods := ParseHeaders(r.AllowMethods)
	if !slices.Contains(safeMethods(), q.Method) && !slices.Contains(methods, q.Method) && !slices.Contains(methods, "*") {
		return false, fmt.Sprintf("Access-Control-Allow-Methods is %q", r.AllowMethods)
	}
	allowed := lower(ParseHeaders(r.AllowHeaders))
	for _, h := range lower(q.Headers) {
		// The one header that * doesn't stand for.
		star := h != "authorization" && slices.Contains(allowed, "*")
		if len(AskedFor([]string{h})) == 0 || slices.Contains(allowed, h) || star {
			continue
		}
		return false, fmt.Sprintf("Access-Control-Allow-Headers is %q, without %s", r.AllowHeaders, h)
	}
	return true, ""
}
