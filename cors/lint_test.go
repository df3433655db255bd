package cors

import (
	"slices"
	"strings"
	"testing"
)

func lines(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Severity.String()+": "+f.String())
	}
	return out
}

func TestLintOrigins(t *testing.T) {
	for _, c := range []struct {
		origin string
		want   []string // beginnings of what comes after the value
		fix    string
	}{
		{"https://app.example.gov", nil, ""},
		{"https://app.example.gov:8443", nil, ""},
		{"https://*.example.gov", nil, ""},
		{"https://app.example.gov:*", nil, ""},
		{"https://[2001:db8::1]:8443", nil, ""},
		{"http://localhost:3000", nil, ""},
		{"http://app.localhost", nil, ""},
		{"http://127.0.0.1:8080", nil, ""},
		{"http://[::1]", nil, ""},
		{"*", nil, ""},
		{"chrome-extension://abcdefghijklmnopabcdefghijklmnop", nil, ""},
		{"capacitor://localhost", nil, ""},

		{"YOUR.OTHER.APP.IP", []string{"error: is the handbook's placeholder"}, "https://your-app.app.cloud.gov"},
		{"app.example.gov", []string{"error: has no scheme"}, "https://app.example.gov"},
		{"app.example.gov:8443", []string{"error: has no scheme"}, "https://app.example.gov:8443"},
		{"App.Example.gov/login", []string{"error: has no scheme"}, "https://app.example.gov"},
		{"//app.example.gov", []string{"error: has no scheme"}, "https://app.example.gov"},
		{"localhost:3000", []string{"error: has no scheme"}, "https://localhost:3000"},
		{"https", []string{"error: has no scheme"}, ""},
		{"10.1.2.3", []string{"error: is an IP address"}, "https://10.1.2.3"},
		{"10.1.2.3:8080", []string{"error: is an IP address"}, "https://10.1.2.3:8080"},
		{"2001:db8::1", []string{"error: is an IP address"}, ""},
		{"https://app.example.gov/", []string{"error: ends in a slash"}, "https://app.example.gov"},
		{"https://app.example.gov/page?x#y", []string{"error: has a path"}, "https://app.example.gov"},
		{"https://app.example.gov/*", []string{"error: has a path"}, "https://app.example.gov"},
		{"https://me@app.example.gov", []string{"error: has a user"}, "https://app.example.gov"},
		{"https://App.example.gov", []string{"error: has upper case"}, "https://app.example.gov"},
		{"HTTPS://app.example.gov", []string{"error: has upper case"}, "https://app.example.gov"},
		{"https://app.example.gov:443", []string{"error: names the scheme's own port"}, "https://app.example.gov"},
		{"http://localhost:80", []string{"error: names the scheme's own port"}, "http://localhost"},
		{"https://app.example.gov:port", []string{"error: has no valid port"}, ""},
		{"https://app.example.gov:", []string{"error: has no valid port"}, ""},
		{"https://", []string{"error: has no valid host"}, ""},
		{"https:///", []string{"error: has a path"}, ""},
		{"https://a b", []string{"error: is empty, or has spaces"}, ""},
		{"https://bücher.example", []string{"error: has letters beyond ASCII"}, ""},
		{" https://app.example.gov", []string{"error: is empty, or has spaces"}, "https://app.example.gov"},
		{`"https://app.example.gov"`, []string{"error: is empty, or has spaces"}, "https://app.example.gov"},
		{"", []string{"error: is empty"}, ""},
		{"https://*.*.example.gov", []string{"error: has more than one *"}, ""},
		{"**", []string{"error: has more than one *"}, ""},
		{"file://", []string{"error: can't match"}, ""},
		{"wss://app.example.gov", []string{"error: can't match"}, ""},

		{"null", []string{"warning: lets pages without an origin"}, ""},
		{"http://app.example.gov", []string{"warning: is plain http"}, ""},
		{"http://localhost.example.gov", []string{"warning: is plain http"}, ""},
		{"https://*", []string{"warning: lets every site of that scheme in"}, ""},
		{"https*", []string{"warning: lets every site of that scheme in"}, ""},
		{"*.example.gov", []string{"warning: doesn't fix the scheme"}, ""},
		{"http*://app.example.gov", []string{"warning: doesn't fix the scheme"}, ""},
		{"https://*example.gov", []string{"warning: also lets https://evilexample.gov in"}, ""},
		{"https://app.example.gov*", []string{"warning: also lets https://app.example.gov.evil.example in"}, ""},
		{"https://*.gov", []string{"warning: lets every site under .gov in"}, ""},
		{"http://*.gov", []string{"warning: is plain http", "warning: lets every site under .gov in"}, ""},
	} {
		found := LintOrigin(c.origin)
		ok := len(found) == len(c.want)
		for i := 0; ok && i < len(found); i++ {
			ok = strings.HasPrefix(found[i].Severity.String()+": "+found[i].Text, c.want[i]) && found[i].Fix == c.fix
		}
		if !ok {
			t.Errorf("%q: got %q, want %q and fix %q", c.origin, lines(found), c.want, c.fix)
		}
	}
}

func TestEveryFixIsClean(t *testing.T) {
	for _, o := range []string{"YOUR.OTHER.APP.IP", "App.gov/x", "https://A.gov:443/", "10.0.0.1", "'https://a.gov'"} {
		fix := originFix(o)
		if fix == "" {
			t.Errorf("%q: no fix", o)
		}
		if found := LintOrigin(fix); len(found) > 0 {
			t.Errorf("%q: the fix %q has %q", o, fix, lines(found))
		}
	}
}

func TestLintRules(t *testing.T) {
	ok := Rule{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET"}}
	with := func(change func(*Rule)) []Rule {
		r := clone(ok)
		change(&r)
		return []Rule{r}
	}
	many := make([]Rule, MaxRules+1)
	for i := range many {
		many[i] = Rule{AllowedOrigins: []string{"https://a" + strings.Repeat("x", i) + ".gov"}, AllowedMethods: []string{"GET"}}
	}
	for _, c := range []struct {
		name  string
		rules []Rule
		want  []string
	}{
		{"nothing", nil, nil},
		{"fine", []Rule{ok}, nil},
		{"too many", many, []string{"error: there are 101 rules; S3 takes 100 at most"}},
		{
			"too long", with(func(r *Rule) { r.AllowedOrigins = []string{"https://" + strings.Repeat("a", MaxDocument) + ".gov"} }),
			[]string{"error: the rules take 65673 bytes; S3 stores 65536 at most"},
		},
		{"no origin", with(func(r *Rule) { r.AllowedOrigins = nil }), []string{"error: rule 1: AllowedOrigins is missing; S3 wants one origin at least"}},
		{"no method", with(func(r *Rule) { r.AllowedMethods = nil }), []string{"error: rule 1: AllowedMethods is missing; S3 wants one method at least"}},
		{
			"methods", with(func(r *Rule) { r.AllowedMethods = []string{"get", "OPTIONS", "PATCH", "*"} }),
			[]string{
				`error: rule 1: AllowedMethods "get" must be in upper case; write "GET"`,
				`error: rule 1: AllowedMethods "OPTIONS" must be left out: S3 answers preflights by itself`,
				`error: rule 1: AllowedMethods "PATCH" is not known to S3, which knows GET, HEAD, PUT, POST, DELETE`,
				`error: rule 1: AllowedMethods "*" is not known to S3; name the methods: GET, HEAD, PUT, POST, DELETE`,
			},
		},
		{
			"headers", with(func(r *Rule) {
				r.AllowedHeaders = []string{"*", "x-amz-*", "a*b*", "x y", "", "Cookie", "Sec-Fetch-Mode", "proxy-x"}
			}),
			[]string{
				`error: rule 1: AllowedHeaders "a*b*" has more than one *, which S3 refuses`,
				`error: rule 1: AllowedHeaders "x y" is no header name`,
				`error: rule 1: AllowedHeaders is no header name`,
				`warning: rule 1: AllowedHeaders "Cookie" does nothing: browsers don't let a page set that header`,
				`warning: rule 1: AllowedHeaders "Sec-Fetch-Mode" does nothing: browsers don't let a page set that header`,
				`warning: rule 1: AllowedHeaders "proxy-x" does nothing: browsers don't let a page set that header`,
			},
		},
		{
			"expose", with(func(r *Rule) { r.ExposeHeaders = []string{"ETag", "x-amz-*", "é", "Set-Cookie"} }),
			[]string{
				`error: rule 1: ExposeHeaders "x-amz-*" has a *, which S3 refuses here; name each header`,
				`error: rule 1: ExposeHeaders "é" is no header name`,
				`warning: rule 1: ExposeHeaders "Set-Cookie" does nothing: browsers hide that header from pages`,
			},
		},
		{"long id", with(func(r *Rule) { r.ID = strings.Repeat("é", 256) }), []string{"error: rule 1: ID is 256 characters long; S3 takes 255 at most"}},
		{"id of 255 characters", with(func(r *Rule) { r.ID = strings.Repeat("é", 255) }), nil},
		{"negative age", with(func(r *Rule) { r.MaxAgeSeconds = seconds32(-1) }), []string{"error: rule 1: MaxAgeSeconds is negative"}},
		{
			"ids twice",
			[]Rule{
				{ID: "a", AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET"}},
				{ID: "a", AllowedOrigins: []string{"https://b.gov"}, AllowedMethods: []string{"GET"}},
			},
			[]string{`warning: rule 2: ID "a" is rule 1's as well`},
		},
		{"star reads", with(func(r *Rule) { r.AllowedOrigins = []string{"*"} }), nil},
		{
			"star writes", with(func(r *Rule) { r.AllowedOrigins, r.AllowedMethods = []string{"*"}, []string{"DELETE", "GET", "PUT"} }),
			[]string{`warning: rule 1: AllowedOrigins "*" with PUT, DELETE lets a page of any site in the world change the bucket through a visitor who holds a signed URL or credentials`},
		},
		{
			"shadow",
			[]Rule{
				{AllowedOrigins: []string{"https://*.gov", "*"}, AllowedMethods: []string{"GET", "HEAD"}, AllowedHeaders: []string{"X-*"}},
				{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET"}, AllowedHeaders: []string{"x-one"}},
				{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET"}, AllowedHeaders: []string{"y"}},
				{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET", "PUT"}},
			},
			[]string{
				"warning: rule 1: AllowedOrigins \"https://*.gov\" lets every site under .gov in",
				"warning: rule 2 is never used: rule 1 allows all of it first",
			},
		},
	} {
		if got := lines(Lint(c.rules)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestHandbookExampleIsRefused(t *testing.T) {
	rules, err := Parse([]byte(`{ "CORSRules": [ { "AllowedOrigins": ["YOUR.OTHER.APP.IP"], "AllowedHeaders": ["*"],
		"AllowedMethods": ["HEAD", "GET"], "ExposeHeaders": ["ETag"] } ] }`))
	if err != nil {
		t.Fatal(err)
	}
	found := Lint(rules)
	if len(found) != 1 || found[0].Severity != Error || found[0].Fix == "" {
		t.Errorf("got %q", lines(found))
	}
}
