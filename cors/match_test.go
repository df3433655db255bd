package cors

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// preflights is testdata/preflights.json: rules, and questions with the answers
// that S3's documentation and the Fetch standard give. The tests module asks a
// real server the same questions.
type preflights []struct {
	Name  string          `json:"name"`
	Rules json.RawMessage `json:"rules"`
	Cases []struct {
		Origin      string `json:"origin"`
		Method      string `json:"method"`
		Headers     string `json:"headers"`
		Rule        int    `json:"rule"` // -1: refused
		AllowOrigin string `json:"allow_origin"`
		Why         string `json:"why"`
	} `json:"cases"`
}

func TestEvaluateAnswersPreflightsAsS3Documents(t *testing.T) {
	data, err := os.ReadFile("testdata/preflights.json")
	if err != nil {
		t.Fatal(err)
	}
	var table preflights
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range table {
		rules, err := Parse(group.Rules)
		if err != nil {
			t.Fatalf("%s: %v", group.Name, err)
		}
		for _, c := range group.Cases {
			n++
			a := Evaluate(rules, Request{Origin: c.Origin, Method: c.Method, Headers: ParseHeaders(c.Headers), Preflight: true})
			if a.Rule != c.Rule || a.Allowed != (c.Rule >= 0) || a.AllowOrigin != c.AllowOrigin {
				t.Errorf("%s: %s %q %q: got rule %d, origin %q; want rule %d, origin %q (%s)",
					group.Name, c.Method, c.Origin, c.Headers, a.Rule, a.AllowOrigin, c.Rule, c.AllowOrigin, c.Why)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d preflights in the table", n)
	}
}

func TestAnswerCarriesTheRulesHeaders(t *testing.T) {
	age := int32(600)
	rules := []Rule{
		{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"PUT"}},
		{
			AllowedOrigins: []string{"https://*.gov"}, AllowedMethods: []string{"GET", "PUT"},
			AllowedHeaders: []string{"X-*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: &age,
		},
	}
	got := Evaluate(rules, Request{Origin: "https://a.gov", Method: "PUT", Headers: []string{"X-One"}, Preflight: true})
	want := Answer{
		Allowed: true, Rule: 1,
		Misses:      []Miss{{0, "allows no request headers, not the header x-one"}},
		AllowOrigin: "https://a.gov", AllowCredentials: true,
		AllowMethods: []string{"GET", "PUT"}, AllowHeaders: []string{"x-one"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: &age,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestSimpleRequestNeedsNoAllowedHeaders(t *testing.T) {
	rules := []Rule{{AllowedOrigins: []string{"https://a.gov"}, AllowedMethods: []string{"GET"}}}
	q := Request{Origin: "https://a.gov", Method: "GET", Headers: []string{"x-custom"}}
	if a := Evaluate(rules, q); !a.Allowed {
		t.Errorf("refused: %v", a.Misses)
	}
}

func TestMissNamesTheNearMiss(t *testing.T) {
	rules := func(origin string) []Rule {
		return []Rule{{AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET"}}}
	}
	for _, c := range []struct{ allowed, want string }{
		{"http://a.gov", "differs in the scheme"},
		{"https://a.gov:8443", "differs in the port"},
		{"https://A.gov", "written differently"},
		{"https://a.gov/", "written differently"},
	} {
		a := Evaluate(rules(c.allowed), Request{Origin: "https://a.gov", Method: "GET"})
		if len(a.Misses) != 1 || !strings.Contains(a.Misses[0].Text, c.want) {
			t.Errorf("%s: got %v, want %q", c.allowed, a.Misses, c.want)
		}
	}
}

func TestPatternCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"*", "https://a", true},
		{"*", "https://*", true},
		{"https://*", "*", false},
		{"https://*.gov", "https://*.example.gov", true},
		{"https://*.example.gov", "https://*.gov", false},
		{"https://a*", "https://a", true},
		{"https://a", "https://a*", false},
		{"a*a", "a", false},
		{"a*a", "a*a", true},
		{"ab*", "a*", false},
	} {
		if got := covers(c.wide, c.narrow); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.wide, c.narrow, got)
		}
	}
}

func TestPatternOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://a", "https://a", true},
		{"https://a", "https://b", false},
		{"https://*.gov", "https://a*", true},
		{"https://*.gov", "http://*", false},
		{"https://*.gov", "https://*.com", false},
		{"*", "null", true},
	} {
		if got := overlap(c.a, c.b); got != c.want {
			t.Errorf("overlap(%q, %q) = %v", c.a, c.b, got)
		}
		if got := overlap(c.b, c.a); got != c.want {
			t.Errorf("overlap(%q, %q) = %v", c.b, c.a, got)
		}
	}
}
