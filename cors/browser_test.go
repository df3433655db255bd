package cors

import "testing"

func TestBrowserAcceptsByTheFetchStandard(t *testing.T) {
	const origin = "https://a.gov"
	put := Request{Origin: origin, Method: "PUT", Headers: []string{"Content-Type", "X-One"}, Preflight: true}
	get := Request{Origin: origin, Method: "GET"}
	for _, c := range []struct {
		name string
		q    Request
		r    Response
		want bool
	}{
		{"all there", put, Response{200, origin, "GET, PUT", "content-type, x-one"}, true},
		{"204", put, Response{204, origin, "PUT", "content-type,x-one"}, true},
		{"star for everything", put, Response{200, "*", "*", "*"}, true},
		{"another origin", put, Response{200, "https://b.gov", "PUT", "*"}, false},
		{"no origin", put, Response{200, "", "PUT", "*"}, false},
		{"a refusal with headers", put, Response{403, origin, "PUT", "*"}, false},
		{"method missing", put, Response{200, origin, "GET", "*"}, false},
		{"method in lower case", put, Response{200, origin, "put", "*"}, false},
		{"header missing", put, Response{200, origin, "PUT", "content-type"}, false},
		{"header in another case", put, Response{200, origin, "PUT", "Content-Type, X-ONE"}, true},
		{"safe method needs no listing", Request{origin, "POST", nil, true}, Response{200, origin, "", ""}, true},
		{"safe header needs no listing", Request{origin, "GET", []string{"accept"}, true}, Response{200, origin, "GET", ""}, true},
		{"star is not authorization", Request{origin, "GET", []string{"authorization"}, true}, Response{200, origin, "GET", "*"}, false},
		{"an answer of any status is read", get, Response{403, origin, "", ""}, true},
		{"an answer without the header is hidden", get, Response{200, "", "", ""}, false},
	} {
		ok, why := Accepts(c.q, c.r)
		if ok != c.want || ok != (why == "") {
			t.Errorf("%s: got %v %q, want %v", c.name, ok, why, c.want)
		}
	}
}

func TestNeedsPreflight(t *testing.T) {
	for _, c := range []struct {
		method, headers string
		want            bool
	}{
		{"GET", "", false},
		{"HEAD", "Accept", false},
		{"POST", "", false},
		{"PUT", "", true},
		{"DELETE", "", true},
		{"GET", "x-custom", true},
		{"POST", "content-type", true},
	} {
		if got := NeedsPreflight(c.method, ParseHeaders(c.headers)); got != c.want {
			t.Errorf("NeedsPreflight(%s, %q) = %v", c.method, c.headers, got)
		}
	}
}
