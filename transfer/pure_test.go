package transfer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
)

func TestRangesAgreeWithABitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 40
		var bits [size + 2]bool
		var set ranges
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			off := rapid.Int64Range(0, size).Draw(t, "off")
			end := rapid.Int64Range(off, size).Draw(t, "end")
			on := rapid.Bool().Draw(t, "add")
			if on {
				set.add(off, end)
			} else {
				set.remove(off, end)
			}
			for i := off; i < end; i++ {
				bits[i] = on
			}
			checkRanges(t, set, bits[:])
		}
	})
}

func checkRanges(t *rapid.T, set ranges, bits []bool) {
	t.Helper()
	var want ranges
	for i, b := range bits {
		switch {
		case !b:
		case i > 0 && bits[i-1]:
			want[len(want)-1].end++
		default:
			want = append(want, span{int64(i), int64(i) + 1})
		}
	}
	if diff := cmp.Diff([]span(want), []span(set), cmp.AllowUnexported(span{})); diff != "" && len(want)+len(set) > 0 {
		t.Fatalf("set differs (-want +got):\n%s", diff)
	}
	off := rapid.Int64Range(0, int64(len(bits))-1).Draw(t, "from")
	end := rapid.Int64Range(off, int64(len(bits))).Draw(t, "to")
	var n, in int64
	for _, b := range bits[off:end] {
		n++
		if b {
			in++
		}
	}
	if got := set.covers(off, end); got != (in == n) {
		t.Fatalf("covers(%d, %d) = %v of %v", off, end, got, set)
	}
	if got := set.touches(off, end); got != (in > 0) {
		t.Fatalf("touches(%d, %d) = %v of %v", off, end, got, set)
	}
	if got := set.within(off, end).size(); got != in {
		t.Fatalf("within(%d, %d) has %d bytes of %v, want %d", off, end, got, set, in)
	}
	if got := set.gaps(off, end).size(); got != n-in {
		t.Fatalf("gaps(%d, %d) has %d bytes of %v, want %d", off, end, got, set, n-in)
	}
	if off < end {
		got, until := set.at(off, end)
		for i := off; i < until; i++ {
			if bits[i] != got {
				t.Fatalf("at(%d, %d) = %v, %d of %v", off, end, got, until, set)
			}
		}
		if until < end && bits[until] == got {
			t.Fatalf("at(%d, %d) ends early at %d of %v", off, end, until, set)
		}
	}
}

func TestGridReachesTheLargestObject(t *testing.T) {
	for _, first := range []int64{5 << 20, 8 << 20, 64 << 20} {
		g := grid{first: first, limits: Limits{}.withDefaults()}
		if got := g.reach(); got != s3.MaxObject {
			t.Errorf("parts from %d bytes reach %d, want %d", first, got, int64(s3.MaxObject))
		}
		if last := g.part(s3.MaxObject - 1); last > s3.MaxParts {
			t.Errorf("parts from %d bytes: the last byte is in part %d", first, last)
		}
	}
}

func TestGridPartsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := grid{
			first:  rapid.Int64Range(1, 100).Draw(t, "first"),
			limits: Limits{MaxParts: rapid.IntRange(1, 60).Draw(t, "parts"), MaxPartSize: 1000, MaxObject: 1 << 40},
		}
		var end int64
		for n := 1; n <= g.limits.MaxParts; n++ {
			s := g.span(n)
			if s.off != end || s.len() < 1 || s.len() > 1000 {
				t.Fatalf("part %d is %v, the one before ends at %d", n, s, end)
			}
			if g.part(s.off) != n || g.part(s.end-1) != n {
				t.Fatalf("part %d is %v, but its bytes are in %d and %d", n, s, g.part(s.off), g.part(s.end-1))
			}
			end = s.end
		}
		if g.reach() != end {
			t.Fatalf("reach is %d, the last part ends at %d", g.reach(), end)
		}
	})
}

func TestPlanKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{
			MinPartSize: rapid.Int64Range(1, 20).Draw(t, "least"),
			MaxPartSize: 2000,
			MaxParts:    rapid.IntRange(8, 60).Draw(t, "parts"),
		}
		size := rapid.Int64Range(1, 4000).Draw(t, "size")
		var untouched ranges
		for range rapid.IntRange(0, 20).Draw(t, "spans") {
			off := rapid.Int64Range(0, size-1).Draw(t, "off")
			untouched.add(off, rapid.Int64Range(off, size).Draw(t, "end"))
		}
		unit := rapid.Int64Range(l.MinPartSize, 100).Draw(t, "unit")
		pieces := plan(size, untouched, unit, l)
		if len(pieces) > l.MaxParts {
			t.Fatalf("%d pieces", len(pieces))
		}
		var end int64
		for i, p := range pieces {
			if p.off != end {
				t.Fatalf("piece %d is %v, the one before ends at %d", i, p, end)
			}
			if p.copied && !untouched.covers(p.off, p.end) {
				t.Fatalf("piece %v is copied, untouched is %v", p, untouched)
			}
			if i < len(pieces)-1 && p.len() < l.MinPartSize {
				t.Fatalf("piece %d of %d is %v, shorter than %d", i+1, len(pieces), p, l.MinPartSize)
			}
			if p.len() > l.MaxPartSize || p.len() < 1 {
				t.Fatalf("piece %v has %d bytes", p, p.len())
			}
			end = p.end
		}
		if end != size {
			t.Fatalf("pieces end at %d of %d", end, size)
		}
	})
}

func TestPlanOfRealSizes(t *testing.T) {
	const mib, gib, tib = 1 << 20, 1 << 30, 1 << 40
	l := Limits{}.withDefaults()
	for _, tt := range []struct {
		name      string
		size      int64
		untouched ranges
		sent      int64 // at most
		parts     int   // at most
	}{
		{"a byte appended to 10 GB", 10*gib + 1, ranges{{0, 10 * gib}}, 5 * mib, 60},
		{"4 KiB inside 256 MiB", 256 * mib, ranges{{0, 100 * mib}, {100*mib + 4096, 256 * mib}}, 5 * mib, 3},
		{"the first byte of 256 MiB", 256 * mib, ranges{{1, 256 * mib}}, 5 * mib, 2},
		{"the last byte of 5 TiB", 5 * tib, ranges{{0, 5*tib - 1}}, 5 * mib, s3.MaxParts},
		{"all of 5 TiB", 5 * tib, nil, 5 * tib, s3.MaxParts},
		{"nothing of 1 TiB", tib, ranges{{0, tib}}, 0, s3.MaxParts},
	} {
		pieces := plan(tt.size, tt.untouched, 8*mib, l)
		if got := sent(pieces); got > tt.sent {
			t.Errorf("%s: %d bytes are sent, want at most %d", tt.name, got, tt.sent)
		}
		if len(pieces) > tt.parts {
			t.Errorf("%s: %d parts, want at most %d", tt.name, len(pieces), tt.parts)
		}
	}
}
