package cors

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func rule1(origins, methods, headers, expose []string) Rule {
	return Rule{AllowedOrigins: origins, AllowedMethods: methods, AllowedHeaders: headers, ExposeHeaders: expose}
}

func words(s ...string) []string { return s }

func TestAllowChangesAsLittleAsItCan(t *testing.T) {
	read := words("GET", "HEAD")
	named := func(id string, r Rule) Rule { r.ID = id; return r }
	for _, c := range []struct {
		name  string
		rules []Rule
		grant Grant
		want  []Rule
	}{
		{
			"no rules yet", nil,
			Grant{Origins: words("https://a", "https://a"), Methods: read, Headers: words("*"), Expose: words("ETag", "etag"), MaxAge: seconds32(60)},
			[]Rule{{AllowedOrigins: words("https://a"), AllowedMethods: read, AllowedHeaders: words("*"), ExposeHeaders: words("ETag"), MaxAgeSeconds: seconds32(60)}},
		},
		{
			"allowed already",
			[]Rule{rule1(words("https://*.gov"), words("GET", "HEAD", "PUT"), words("*"), words("etag", "x"))},
			Grant{Origins: words("https://a.gov"), Methods: read, Headers: words("X-One"), Expose: words("ETag")},
			[]Rule{rule1(words("https://*.gov"), words("GET", "HEAD", "PUT"), words("*"), words("etag", "x"))},
		},
		{
			"same origin, more methods",
			[]Rule{rule1(words("https://a"), read, nil, words("ETag"))},
			Grant{Origins: words("https://a"), Methods: words("PUT"), Headers: words("content-type")},
			[]Rule{rule1(words("https://a"), words("GET", "HEAD", "PUT"), words("content-type"), words("ETag"))},
		},
		{
			"same terms, another origin",
			[]Rule{named("w", rule1(words("https://a"), words("HEAD", "GET"), words("X-A"), words("ETag")))},
			Grant{Origins: words("https://b"), Methods: read, Headers: words("x-a"), Expose: words("etag")},
			[]Rule{named("w", rule1(words("https://a", "https://b"), words("HEAD", "GET"), words("X-A"), words("ETag")))},
		},
		{
			"other terms, another origin",
			[]Rule{rule1(words("https://a"), words("GET", "PUT"), nil, nil)},
			Grant{Origins: words("https://b"), Methods: read},
			[]Rule{rule1(words("https://a"), words("GET", "PUT"), nil, nil), rule1(words("https://b"), read, nil, nil)},
		},
		{
			"an earlier rule would answer with less",
			[]Rule{rule1(words("https://x"), read, nil, nil), rule1(words("*"), words("GET"), nil, words("x-y"))},
			Grant{Origins: words("https://a"), Methods: read, Expose: words("ETag")},
			[]Rule{
				rule1(words("https://x"), read, nil, nil),
				rule1(words("https://a"), read, nil, words("ETag", "x-y")),
				rule1(words("*"), words("GET"), nil, words("x-y")),
			},
		},
		{
			"joining a rule would hide what a later one exposes",
			[]Rule{rule1(words("https://a"), words("GET", "PUT"), nil, nil), rule1(words("https://b", "https://c"), words("GET"), nil, words("ETag"))},
			Grant{Origins: words("https://b"), Methods: words("GET", "PUT")},
			[]Rule{
				rule1(words("https://a"), words("GET", "PUT"), nil, nil),
				rule1(words("https://b", "https://c"), words("GET"), nil, words("ETag")),
				rule1(words("https://b"), words("GET", "PUT"), nil, nil),
			},
		},
		{
			"widening a rule would hide what a later one exposes",
			[]Rule{rule1(words("https://a"), words("GET"), nil, nil), rule1(words("https://a", "https://b"), words("PUT"), nil, words("ETag"))},
			Grant{Origins: words("https://a"), Methods: words("PUT"), Headers: words("x")},
			[]Rule{
				rule1(words("https://a"), words("GET", "PUT"), words("x"), words("ETag")),
				rule1(words("https://a", "https://b"), words("PUT"), nil, words("ETag")),
			},
		},
		{
			"by id, widened",
			[]Rule{named("w", rule1(words("https://a"), read, nil, nil))},
			Grant{ID: "w", Origins: words("https://a"), Methods: words("PUT")},
			[]Rule{named("w", rule1(words("https://a"), words("GET", "HEAD", "PUT"), nil, nil))},
		},
		{
			"by id, joined",
			[]Rule{named("w", rule1(words("https://a"), read, nil, nil))},
			Grant{ID: "w", Origins: words("https://b"), Methods: read},
			[]Rule{named("w", rule1(words("https://a", "https://b"), read, nil, nil))},
		},
		{
			"by id, new, though another rule would do",
			[]Rule{rule1(words("https://a"), read, nil, nil)},
			Grant{ID: "w", Origins: words("https://b"), Methods: read},
			[]Rule{rule1(words("https://a"), read, nil, nil), named("w", rule1(words("https://b"), read, nil, nil))},
		},
	} {
		before := cloneAll(c.rules)
		got, err := Allow(c.rules, c.grant)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
		if !Equal(before, c.rules) {
			t.Errorf("%s: the rules given were changed", c.name)
		}
	}
}

func TestAllowByIDRefusesToGiveOrTakeMore(t *testing.T) {
	for name, rules := range map[string][]Rule{
		"others would get GET": {
			{ID: "w", AllowedOrigins: words("https://a"), AllowedMethods: words("PUT")},
		},
		"b would no longer see the ETag": {
			{ID: "w", AllowedOrigins: words("https://a"), AllowedMethods: words("GET")},
			{AllowedOrigins: words("https://b"), AllowedMethods: words("GET"), ExposeHeaders: words("ETag")},
		},
	} {
		if got, err := Allow(rules, Grant{ID: "w", Origins: words("https://b"), Methods: words("GET")}); err == nil {
			t.Errorf("%s: no error, and %v", name, got)
		}
	}
}

// small draws values from so few that rules collide often.
func small(values ...string) *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 0, 2, rapid.ID[string])
}

func atLeastOne(values ...string) *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 2, rapid.ID[string])
}

func TestAllowGivesWhatItSaysAndNoMore(t *testing.T) {
	origins := []string{"https://a.gov", "https://b.gov", "https://*.gov", "*"}
	headers := []string{"x-a", "X-B", "*"}
	expose := []string{"ETag", "x-e"}
	drawn := rapid.Custom(func(t *rapid.T) Rule {
		return rule1(atLeastOne(origins...).Draw(t, "origins"), atLeastOne("GET", "PUT", "POST").Draw(t, "methods"),
			small(headers...).Draw(t, "headers"), small(expose...).Draw(t, "expose"))
	})
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(drawn, 0, 4).Draw(t, "rules")
		r := drawn.Draw(t, "grant")
		g := Grant{Origins: r.AllowedOrigins, Methods: r.AllowedMethods, Headers: r.AllowedHeaders, Expose: r.ExposeHeaders}
		if rapid.Bool().Draw(t, "by id") {
			g.ID = "id"
			if len(rules) > 0 && rapid.Bool().Draw(t, "of a rule") {
				rules[0].ID = "id"
			}
		}
		after, err := Allow(rules, g)
		if err != nil {
			return
		}
		for _, origin := range []string{"https://a.gov", "https://b.gov", "https://c.gov", "https://d.com"} {
			named := anyCovers(g.Origins, origin)
			for _, method := range []string{"GET", "PUT", "POST"} {
				for _, asked := range [][]string{nil, {"x-a"}, {"x-b"}, {"x-c"}, {"x-a", "x-b"}} {
					q := Request{Origin: origin, Method: method, Headers: asked, Preflight: true}
					checkAllow(t, q, named, Evaluate(rules, q), Evaluate(after, q), g)
				}
			}
		}
	})
}

func checkAllow(t *rapid.T, q Request, named bool, was, is Answer, g Grant) {
	includes := func(have, want []string) bool {
		return all(lower(want), func(h string) bool { return slices.Contains(lower(have), h) })
	}
	if was.Allowed && !is.Allowed {
		t.Fatalf("%v was allowed and no longer is", q)
	}
	if !named && was.Allowed != is.Allowed {
		t.Fatalf("%v is now allowed", q)
	}
	if was.Allowed && len(q.Headers) == 0 && !includes(is.ExposeHeaders, was.ExposeHeaders) {
		t.Fatalf("%v: exposed %q, now %q", q, was.ExposeHeaders, is.ExposeHeaders)
	}
	asked := slices.Contains(g.Methods, q.Method) && all(q.Headers, func(h string) bool { return anyCovers(lower(g.Headers), h) })
	if named && asked && !is.Allowed {
		t.Fatalf("%v is not allowed", q)
	}
	if named && asked && len(q.Headers) == 0 && !includes(is.ExposeHeaders, g.Expose) && g.ID == "" {
		t.Fatalf("%v exposes only %q", q, is.ExposeHeaders)
	}
}

func TestDenyRemovesAnOriginEverywhere(t *testing.T) {
	rules := []Rule{
		rule1(words("https://a", "https://b"), words("GET"), nil, nil),
		rule1(words("https://a"), words("PUT"), nil, nil),
		rule1(words("https://*"), words("GET"), nil, nil),
	}
	kept, missing := Deny(rules, words("https://a", "https://z"))
	want := []Rule{rule1(words("https://b"), words("GET"), nil, nil), rule1(words("https://*"), words("GET"), nil, nil)}
	if d := cmp.Diff(want, kept); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff(words("https://z"), missing); d != "" {
		t.Errorf("missing (-want +got)\n%s", d)
	}
	if len(rules[0].AllowedOrigins) != 2 || rules[0].AllowedOrigins[0] != "https://a" {
		t.Errorf("the rules given were changed: %v", rules[0])
	}
	if d := cmp.Diff(words("https://*"), StillAllowed(kept, "https://a")); d != "" {
		t.Errorf("still allowed (-want +got)\n%s", d)
	}
}
