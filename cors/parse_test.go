package cors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func seconds32(n int32) *int32 { return &n }

// example has every field, and what JSON must escape.
var example = []Rule{
	{
		ID:             "web \"quoted\" <&> é\u2028\t",
		AllowedHeaders: []string{"*"},
		AllowedMethods: []string{"GET", "PUT"},
		AllowedOrigins: []string{"https://a.example.gov", "https://*.b.example.gov"},
		ExposeHeaders:  []string{"ETag"},
		MaxAgeSeconds:  seconds32(0),
	},
	{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"*"}},
}

func TestParseReadsWhatPutBucketCorsTakes(t *testing.T) {
	for _, file := range []string{"example.json", "example.yaml", "list.json", "flow.yaml"} {
		doc, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(doc)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if d := cmp.Diff(example, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", file, d)
		}
	}
}

// example.json is what aws-cli 1.45 printed for example.
func TestJSONIsWhatGetBucketCorsPrints(t *testing.T) {
	want, err := os.ReadFile("testdata/example.json")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(JSON(example))); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got, want := string(JSON(nil)), "{\n    \"CORSRules\": []\n}\n"; got != want {
		t.Errorf("no rules: got %q, want %q", got, want)
	}
}

func TestParseExplainsBadDocumentsInOneLine(t *testing.T) {
	const rule = `"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]`
	for _, c := range []struct{ doc, want string }{
		{"", "the document is empty"},
		{" \n", "the document is empty"},
		{"# only a comment\n", "the document is empty"},
		{"<CORSConfiguration/>", "this is XML; write the rules as JSON or YAML"},
		{"\xff\xfe{", "not UTF-8 text"},
		{"hello", `line 1: the document must be {"CORSRules": [...]}`},
		{"{}", `line 1: "CORSRules" is missing`},
		{`{"CORSRules": [}`, "line 1: invalid character '}' looking for beginning of value"},
		{"{\"CORSRules\": [\n{" + rule + "},\n]}x", "line 3: invalid character ']' looking for beginning of value"},
		{"{\n\"CORSRules\": [\n{" + rule, "line 3: unexpected end of JSON input"},
		{`{"CorsRules": []}`, `line 1: unknown field "CorsRules" in the document; did you mean CORSRules?`},
		{`{"CORSRules": {` + rule + `}}`, "line 1: CORSRules wants a list of rules, not an object"},
		{`{"CORSRules": ["GET"]}`, "line 1: a rule must be an object, not text"},
		{"[\n{\"AllowedOrigin\": []}]", `line 2: unknown field "AllowedOrigin" in a rule; did you mean AllowedOrigins?`},
		{"[\n{\"exposedHeaders\": []}]", `line 2: unknown field "exposedHeaders" in a rule; did you mean ExposeHeaders?`},
		{`[{"Comment": 1}]`, `line 1: unknown field "Comment" in a rule`},
		{`[{"AllowedMethods": "GET"}]`, `line 1: AllowedMethods wants a list, such as ["..."], not text`},
		{`[{"AllowedMethods": [1]}]`, "line 1: AllowedMethods wants text, not a number"},
		{`[{"AllowedMethods": [null]}]`, "line 1: AllowedMethods wants text, not nothing"},
		{`[{"ID": true}]`, "line 1: ID wants text, not true or false"},
		{`[{"MaxAgeSeconds": "3000"}]`, "line 1: MaxAgeSeconds wants a number, not text"},
		{`[{"MaxAgeSeconds": 1.5}]`, "line 1: MaxAgeSeconds wants a whole number of seconds from 0 to 2147483647, not 1.5"},
		{`[{"MaxAgeSeconds": -1}]`, "line 1: MaxAgeSeconds wants a whole number of seconds from 0 to 2147483647, not -1"},
		{`[{"MaxAgeSeconds": 2147483648}]`, "line 1: MaxAgeSeconds wants a whole number of seconds from 0 to 2147483647, not 2147483648"},
		{"[{" + rule + ",\n" + rule + "}]", "line 2: AllowedMethods is given twice"},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), "line 1: nested too deeply to be CORS rules"},
		{"CORSRules:\n- AllowedMethods: *x\n", "unknown anchor 'x' referenced"},
		{"a: &x [GET]\nCORSRules: *x\n", "line 2: aliases (*x) are not supported here"},
		{"CORSRules: []\n---\nCORSRules: []\n", "more than one document in the file"},
		{"CORSRules:\n\t- ID: x\n", "line 2: found character that cannot start any token"},
		{"CORSRules:\n- AllowedMethods: [GET]\n  MaxAgeSeconds: 1h\n", "line 3: MaxAgeSeconds wants a whole number of seconds from 0 to 2147483647, not 1h"},
	} {
		_, err := Parse([]byte(c.doc))
		if err == nil {
			t.Errorf("%q: no error, want %q", c.doc, c.want)
		} else if err.Error() != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.doc, err, c.want)
		}
		if bad := new(SyntaxError); err != nil && !errors.As(err, &bad) {
			t.Errorf("%q: %T, want a *SyntaxError", c.doc, err)
		}
	}
}

func TestParseRefusesAHugeDocument(t *testing.T) {
	doc := []byte(`{"CORSRules": []}` + strings.Repeat(" ", MaxInput))
	if _, err := Parse(doc); err == nil {
		t.Error("no error")
	}
}

func TestParseSkipsAByteOrderMark(t *testing.T) {
	// Two escapes for one letter are JSON, and in YAML an error.
	rules, err := Parse([]byte("\ufeff" + `{"CORSRules": [{"ID": "\ud83d\ude00"}]}`))
	if err != nil || len(rules) != 1 || rules[0].ID != "😀" {
		t.Errorf("got %v, %v", rules, err)
	}
}

func TestYAMLTakesNullForNoText(t *testing.T) {
	if rules, err := Parse([]byte("- AllowedOrigins: [null]\n")); err == nil {
		t.Errorf("got %v", rules)
	}
	want := []Rule{{AllowedOrigins: []string{"null", "NULL", "~", "true", "1", "a:", "-", "x\ny"}}, {}}
	got, err := Parse(YAML(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestEqualMindsOrderAndSameDoesNot(t *testing.T) {
	a := []Rule{{AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"X"}, MaxAgeSeconds: seconds32(1)}}
	b := []Rule{{AllowedMethods: []string{"PUT", "GET"}, AllowedHeaders: []string{"x"}, MaxAgeSeconds: seconds32(1)}}
	if Equal(a, b) || !Same(a, b) {
		t.Errorf("Equal %v, Same %v; want false, true", Equal(a, b), Same(a, b))
	}
	for _, age := range []*int32{nil, seconds32(2)} {
		b[0].MaxAgeSeconds = age
		if Same(a, b) || Same(b, a) {
			t.Error("another age is the same")
		}
	}
}

func anyRules() *rapid.Generator[[]Rule] {
	texts := func(min int) *rapid.Generator[[]string] {
		return rapid.Custom(func(t *rapid.T) []string {
			out := rapid.SliceOfN(rapid.String(), min, 3).Draw(t, "values")
			if len(out) == 0 {
				return nil
			}
			return out
		})
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			ID:             rapid.String().Draw(t, "id"),
			AllowedHeaders: texts(0).Draw(t, "headers"),
			AllowedMethods: texts(1).Draw(t, "methods"),
			AllowedOrigins: texts(1).Draw(t, "origins"),
			ExposeHeaders:  texts(0).Draw(t, "expose"),
		}
		if rapid.Bool().Draw(t, "has age") {
			r.MaxAgeSeconds = seconds32(rapid.Int32Range(0, 1<<31-1).Draw(t, "age"))
		}
		return r
	}), 0, 4)
}

func TestParseReadsBackWhatWasPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := anyRules().Draw(t, "rules")
		for _, doc := range [][]byte{JSON(rules), YAML(rules)} {
			got, err := Parse(doc)
			if err != nil {
				t.Fatalf("%v in\n%s", err, doc)
			}
			if !Equal(got, rules) {
				t.Fatalf("%s\n%s", doc, cmp.Diff(rules, got))
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range seeds {
		doc, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("CORSRules:\n- ID: |\n   x\n  AllowedOrigins: [https://a]\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		rules, err := Parse(doc)
		if err != nil {
			if bad := new(SyntaxError); !errors.As(err, &bad) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("error %T %q", err, err)
			}
			return
		}
		Lint(rules) // must not panic
		again, err := Parse(JSON(rules))
		if err != nil || !Equal(rules, again) {
			t.Fatalf("%v: %q printed as %s", err, doc, JSON(rules))
		}
	})
}
