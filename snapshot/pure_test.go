package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestIDs(t *testing.T) {
	for _, id := range []ID{"2026-11-23", "2026-11-23T141502Z"} {
		if parsed, err := ParseID(string(id)); err != nil || parsed != id {
			t.Errorf("ParseID %s: %s, %v", id, parsed, err)
		}
		if back, err := idOfPath(id.path()); err != nil || back != id {
			t.Errorf("path %s is of %s, %v", id.path(), back, err)
		}
	}
	for _, s := range []string{"", "2026-11-31", "2026-1-2", "2026-11-23T1415", "2026-11-23T141502", "lock", "2026-11-23/"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("ParseID takes %q", s)
		}
	}
}

func TestResolve(t *testing.T) {
	ids := []ID{"2026-10-02", "2026-11-21", "2026-11-22", "2026-11-22T101010Z", "2026-11-23"}
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	for name, want := range map[string]ID{
		"latest": "2026-11-23", "yesterday": "2026-11-22", "2026-10": "2026-10-02", "2026-11-22": "2026-11-22",
		"2026-11-22T": "2026-11-22T101010Z", "2026-11": "", "2025": "", "": "",
	} {
		got, err := Resolve(name, ids, now)
		if got != want || (want == "") != errors.Is(err, ErrNoSnapshot) {
			t.Errorf("Resolve(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		exclude, include []string
		yes, no          string
	}{
		{nil, nil, "a a/b", ""},
		{[]string{"*.tmp"}, nil, "a a.tmpx tmp", "a.tmp d/a.tmp"},
		{[]string{"logs/"}, nil, "logs log/s", "logs/a logs/a/b x/logs/a"},
		{[]string{"/logs/"}, nil, "x/logs/a", "logs/a"},
		{[]string{"a/*.txt"}, nil, "a/b/c.txt x/a/b.txt", "a/b.txt a/.txt"},
		{[]string{"a/**/z"}, nil, "a/zz", "a/z a/b/z a/b/c/z"},
		{[]string{"a/**"}, nil, "a b/a/c", "a/ a/b a/b/c"},
		{[]string{"?.x"}, nil, "ab.x .x", "a.x é.x d/a.x"},
		{[]string{"a+(b).[c]"}, nil, "ab.c", "a+(b).[c]"},
		{nil, []string{"*.txt"}, "a.txt d/b.txt", "a.tmp"},
		{[]string{"*"}, []string{"keep/"}, "keep/a", "a d/b"},
	} {
		f, err := NewFilter(test.exclude, test.include)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(test.yes) {
			if !f.Match(key) {
				t.Errorf("-%v +%v leaves out %q", test.exclude, test.include, key)
			}
		}
		for _, key := range strings.Fields(test.no) {
			if f.Match(key) {
				t.Errorf("-%v +%v takes %q", test.exclude, test.include, key)
			}
		}
	}
	if _, err := NewFilter([]string{""}, nil); err == nil {
		t.Error("an empty pattern is taken")
	}
}

// anyKeys draws keys with every kind of trouble.
func anyKeys() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(1, 12, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 12), func(b []byte) string { return string(b) }),
		rapid.StringOfN(rapid.SampledFrom([]rune("ab/.-")), 1, 8, -1),
	)
}

func TestSegmentsSurviveTheirFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(anyKeys(), 1, 20, rapid.ID[string]).Draw(t, "keys")
		slices.Sort(keys)
		want := segment{header: header{Run: "r", After: anyKey(keys[0]), Thru: anyKey(keys[len(keys)-1]), Listed: time.Unix(5, 0).UTC()}}
		for i, key := range keys[1:] {
			want.Entries = append(want.Entries, Entry{
				Key: key, Size: int64(i), ETag: `"e"`, CopyETag: rapid.String().Draw(t, "etag"), Modified: time.UnixMilli(int64(i)).UTC(),
				StorageClass: "X", Owner: "2026-11-23", Again: i%2 == 0,
			})
			want.Notes = append(want.Notes, Note{key, Busy, "why"})
		}
		file, err := want.encode(&zips{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSegment(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := got.encode(&zips{}); err != nil || !bytes.Equal(again, file) {
			t.Fatalf("%v: encoding again gives another file", err)
		}
		for i, e := range got.Entries {
			if e.Key != want.Entries[i].Key || got.Notes[i] != want.Notes[i] || !e.sameVersion(want.Entries[i]) {
				t.Fatalf("entry %d: got %+v, want %+v", i, e, want.Entries[i])
			}
		}
	})
}

func TestDamagedSegmentsAreFound(t *testing.T) {
	seg := segment{header: header{After: "b", Thru: "m"}, Entries: []Entry{{Key: "c"}, {Key: "d"}}}
	file, err := seg.encode(&zips{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		if _, err := decodeSegment(bytes.NewReader(file[:n])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, keys := range [][]string{{"d", "c"}, {"c", "c"}, {"a"}, {"n"}} {
		bad := segment{header: seg.header}
		for _, key := range keys {
			bad.Entries = append(bad.Entries, Entry{Key: key})
		}
		file, err := bad.encode(&zips{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeSegment(bytes.NewReader(file)); !errors.Is(err, ErrDamaged) {
			t.Errorf("keys %v: %v", keys, err)
		}
	}
}

func FuzzDecodeSegment(f *testing.F) {
	seg := segment{header: header{After: "b", Thru: "m"}, Entries: []Entry{{Key: "c"}, {Key: "d"}}}
	file, err := seg.encode(&zips{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		if seg, err := decodeSegment(bytes.NewReader(data)); err == nil {
			if err := seg.check(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestGapsAndSpansTileTheKeySpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var covered []span
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			a, b := anyKeys().Draw(t, "a"), anyKeys().Draw(t, "b")
			covered = append(covered, span{min(a, b), max(a, b)})
		}
		if rapid.Bool().Draw(t, "open") {
			covered = append(covered, span{after: anyKeys().Draw(t, "last")})
		}
		left := gaps(covered)
		if more := gaps(append(slices.Clone(covered), left...)); len(more) > 0 {
			t.Fatalf("%q and gaps %q leave %q", covered, left, more)
		}
		if a, b, found := overlap(left); found {
			t.Fatalf("gaps %q and %q overlap", a, b)
		}
		key := anyKeys().Draw(t, "key")
		in := func(spans []span) bool {
			return slices.ContainsFunc(spans, func(s span) bool { return s.contains(key) })
		}
		if in(covered) == in(left) {
			t.Fatalf("%q is in covered %v, in gaps %v", key, in(covered), in(left))
		}
	})
}

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		spans []span
		want  bool
	}{
		{[]span{{"", "b"}, {"b", "d"}, {"d", ""}}, false},
		{[]span{{"", "c"}, {"b", "d"}}, true},
		{[]span{{"", ""}, {"b", "d"}}, true},
		{[]span{{"", "m"}, {"", ""}}, true},
	} {
		if _, _, found := overlap(test.spans); found != test.want {
			t.Errorf("overlap %q: %v", test.spans, found)
		}
	}
}

func TestMidpointIsBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := []string{anyKeys().Draw(t, "a"), anyKeys().Draw(t, "b")}
		sort.Strings(keys)
		lo, hi := keys[0], keys[1]
		if lo == hi || rapid.Bool().Draw(t, "open") {
			hi = ""
		}
		mid, ok := midpoint(lo, hi)
		if !ok {
			return
		}
		if mid <= lo || hi != "" && mid >= hi || !utf8.ValidString(mid) {
			t.Fatalf("midpoint(%q, %q) = %q", lo, hi, mid)
		}
	})
}

func TestKeyThatIsNoTextHasNoMidpoint(t *testing.T) {
	for _, keys := range [][2]string{{"\u023a", "\xc9"}, {"\xc8", "z"}, {"a", "b\xff"}} {
		if mid, ok := midpoint(keys[0], keys[1]); ok {
			t.Errorf("midpoint(%q, %q) = %q", keys[0], keys[1], mid)
		}
	}
}

func TestStartAfterIsNeverLater(t *testing.T) {
	long := strings.Repeat("é", 600)
	for _, key := range []string{"a", long, "x" + long} {
		got := startAfter(key)
		if got > key || len(got) > 1024 || !utf8.ValidString(got) {
			t.Errorf("startAfter of %d bytes has %d", len(key), len(got))
		}
	}
}

func TestPolicy(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var list []Info
	for hours := 24 * 400; hours >= 0; hours -= 6 {
		started := now.Add(-time.Duration(hours) * time.Hour)
		list = append(list, Info{ID: secondID(started), State: Complete, Started: started})
	}
	kept := func(p Policy, list []Info) (n int, ids []ID) {
		for _, d := range p.Apply(list, now) {
			if d.Keep() {
				n++
				ids = append(ids, d.ID)
			}
		}
		return n, ids
	}
	for _, test := range []struct {
		policy Policy
		want   int
	}{
		{Policy{}, 1}, // the newest complete one stays whatever happens
		{Policy{Last: 3}, 3},
		{Policy{Hourly: 5}, 5},
		{Policy{Daily: 7}, 7},
		{Policy{Daily: 7, Weekly: 4}, 9}, // the newest of this week and of the last are dailies, too
		{Policy{Monthly: 12}, 12},
		{Policy{Yearly: 5}, 2},
		{Policy{Within: 24 * time.Hour}, 5},
	} {
		if n, ids := kept(test.policy, list); n != test.want {
			t.Errorf("%+v keeps %d: %v", test.policy, n, ids)
		}
	}
	special := []Info{
		{ID: "2020-01-01", State: Complete, Started: now.AddDate(-6, 0, 0), Pinned: true},
		{ID: "2021-01-01", State: Complete, Started: now.AddDate(-5, 0, 0), Tags: []string{"audit"}},
		{ID: "2022-01-01", State: Complete, Started: now.AddDate(-4, 0, 0)},
		{ID: "2026-11-21", State: Complete, Started: now.AddDate(0, 0, -2)},
		{ID: "2026-11-22", State: Partial, Started: now.AddDate(0, 0, -1)},
		{ID: "2026-11-23", State: Complete, Mode: Safety, Started: now},
		{ID: "2027-01-01", State: Partial, Started: now.AddDate(0, 2, 0)},
	}
	_, ids := kept(Policy{Last: 1, Tags: []string{"audit"}}, special)
	want := []ID{"2020-01-01", "2021-01-01", "2026-11-21", "2026-11-22", "2026-11-23", "2027-01-01"}
	if !slices.Equal(ids, want) {
		t.Errorf("keeps %v, want %v", ids, want)
	}
}

// TestTamperedOwnerIsDamage reads a segment whose links lead to no snapshot.
func TestTamperedOwnerIsDamage(t *testing.T) {
	seg := &segment{Entries: []Entry{{Key: "key", Owner: "x"}}}
	data, err := seg.encode(allZips)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeSegment(bytes.NewReader(data)); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// TestBombIsDamage reads a small file that is a large segment.
func TestBombIsDamage(t *testing.T) {
	t.Parallel()
	seg := &segment{}
	for i := range maxSegment>>20 + 1 {
		seg.Entries = append(seg.Entries, Entry{Key: fmt.Sprintf("%08d", i), StorageClass: strings.Repeat("x", 1<<20)})
	}
	data, err := seg.encode(allZips)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := decodeSegment(bytes.NewReader(data)); !errors.Is(err, ErrDamaged) {
		t.Errorf("%d bytes are %d entries, %v", len(data), len(read.Entries), err)
	}
}
