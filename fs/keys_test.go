package fs

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
)

// names are the path components that a key's part is shown under, as a file.
func names(part string) []string {
	var out []string
	all := chunks(part)
	for i, c := range all {
		if i < len(all)-1 {
			out = append(out, longName(c))
		} else {
			out = append(out, partName(c))
		}
	}
	return out
}

func FuzzNameOfPart(f *testing.F) {
	for _, part := range []string{
		"", ".", "..", "a", "@s3", "@s3:", "@s3!x", "@s3+", "%", "%2F", "a\x00b", "\xff\xfe", "ü", strings.Repeat("x", 255),
		strings.Repeat("x", 256), strings.Repeat("ü", 128), strings.Repeat("\xff", 300), "a.rclonelink", strings.Repeat("%", 1000), "\n",
	} {
		f.Add(part)
	}
	f.Fuzz(func(t *testing.T, part string) {
		part = strings.ReplaceAll(part, "/", "")
		back := ""
		for _, name := range names(part) {
			if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
				t.Fatalf("part %q has the name %q, which no directory can hold", part, name)
			}
			piece, _, ok := parseName(name)
			if !ok {
				t.Fatalf("part %q: its own name %q is refused", part, name)
			}
			back += piece
		}
		if back != part {
			t.Fatalf("part %q came back as %q", part, back)
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, name := range []string{"a", "@s3:", "@s3:a", "@s3:%2e", "@s3:%2E", "@s3!x", "@s3+x", "@s3x", "@s3:%", "@s3:%4", "@s3:%61"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > maxName || name == "" {
			return
		}
		part, f, ok := parseName(name)
		if !ok {
			return
		}
		again := map[form]func(string) string{formPart: partName, formObject: objectName, formLong: longName}[f](part)
		if again != name {
			t.Fatalf("%q means %q, whose name is %q: two names for one part", name, part, again)
		}
	})
}

// show lists a directory over keys, as a bucket would page them.
func show(keys []string, prefix, lead string, pageSize int) map[string]entry {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	l := newListing(prefix, lead)
	var page s3.Page
	seen := map[string]bool{}
	flush := func() {
		l.add(page)
		page = s3.Page{}
	}
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			p := prefix + rest[:i+1]
			if seen[p] {
				continue
			}
			seen[p] = true
			page.Prefixes = append(page.Prefixes, p)
		} else {
			page.Objects = append(page.Objects, s3.Object{Key: k, Size: 1, ETag: `"e"`})
		}
		if len(page.Objects)+len(page.Prefixes) == pageSize {
			flush()
		}
	}
	flush()
	out := map[string]entry{}
	for _, n := range l.finish() {
		if _, twice := out[n.Name]; twice {
			panic("two things under the name " + n.Name)
		}
		out[n.Name] = n.Entry
	}
	return out
}

// walk finds every object below a directory, by what the listings show.
func walk(keys []string, prefix, lead string, pageSize int, found map[string]bool) {
	for name, e := range show(keys, prefix, lead, pageSize) {
		if name == markerName {
			continue
		}
		if e.kind != kindDir {
			found[prefix+e.part] = true
			continue
		}
		inside := ""
		if !strings.HasSuffix(e.part, "/") {
			inside = lead + e.part
		}
		walk(keys, prefix+e.part, inside, pageSize, found)
	}
}

func TestEveryKeyIsReachableUnderOneName(t *testing.T) {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{"", ".", "..", "x", "x.rclonelink", "x!", "x-", "x.", "@s3:", "@s3!x", "\xff", "a\x00", strings.Repeat("l", 260), strings.Repeat("l", 600), strings.Repeat("l", 260) + ".rclonelink", strings.Repeat("m", 250) + ".rclonelink", strings.Repeat("m", 250)}),
		rapid.StringMatching(`[a-c.@%!-]{0,3}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		var keys []string
		for _, parts := range rapid.SliceOfN(rapid.SliceOfN(part, 1, 3), 0, 12).Draw(t, "keys") {
			if k := strings.Join(parts, "/"); k != "" {
				keys = append(keys, k)
			}
		}
		keys = slices.Compact(slices.Sorted(slices.Values(keys)))
		found := map[string]bool{}
		walk(keys, "", "", rapid.IntRange(1, 5).Draw(t, "page"), found)
		for _, k := range keys {
			if !found[k] {
				t.Fatalf("key %q is hidden; shown are %v", k, found)
			}
			delete(found, k)
		}
		for k := range found {
			if !slices.Contains(keys, k) {
				t.Fatalf("a name leads to %q, which is no key", k)
			}
		}
	})
}

func TestTwinsAndLinks(t *testing.T) {
	got := show([]string{"x", "x/y", "x.rclonelink", "l.rclonelink", "m", "m.rclonelink", "d.rclonelink", "d/a"}, "", "", 100)
	want := map[string]entry{
		"x":                {kind: kindDir, part: "x/"},
		"@s3!x":            {kind: kindFile, part: "x"},
		"@s3!x.rclonelink": {kind: kindFile, part: "x.rclonelink"},
		"l":                {kind: kindLink, part: "l.rclonelink"},
		"m":                {kind: kindFile, part: "m"},
		"@s3!m.rclonelink": {kind: kindFile, part: "m.rclonelink"},
		"d":                {kind: kindDir, part: "d/"},
		"@s3!d.rclonelink": {kind: kindFile, part: "d.rclonelink"},
	}
	for name, w := range want {
		if g := got[name]; g.kind != w.kind || g.part != w.part {
			t.Errorf("%s is %v, want %v", name, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d names, want %d: %v", len(got), len(want), got)
	}
}
