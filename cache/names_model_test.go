package cache

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bucket is the truth that a Names remembers, with its whole history.
type bucket struct {
	clock   *clock
	history map[string][]event // by dir + name
}

// event is what a name became at a time; entry 0 is a name that is not there.
type event struct {
	at    time.Time
	entry int
	mine  bool // done by this mount
}

func (b *bucket) set(path string, e int, mine bool) {
	b.history[path] = append(b.history[path], event{b.clock.t, e, mine})
}

func (b *bucket) get(path string) int {
	if h := b.history[path]; len(h) > 0 {
		return h[len(h)-1].entry
	}
	return 0
}

// may reports whether a Names may say that path holds e now: it does, or it did
// within the last ttl and nothing that this mount did came later.
func (b *bucket) may(path string, e int, ttl time.Duration) bool {
	h := b.history[path]
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].entry == e {
			return true
		}
		if h[i].mine || b.clock.t.Sub(h[i].at) >= ttl {
			return false
		}
	}
	return e == 0
}

// scanning is a listing that reads its pages at different times.
type scanning struct {
	scan  *Scan[int]
	dir   string
	after string
	read  []Named[int]

	// Of a request about one name.
	name     string
	entry    int
	answered bool
}

var (
	modelDirs  = []string{"", "a/", "a/b/"}
	modelNames = []string{"0", "1", "2", "3", "4", "5"}
)

// TestNamesNeverContradictTheBucket runs random changes by this mount and by
// others, slow listings, evictions and drops, and checks each answer against
// the bucket's history.
func TestNamesNeverContradictTheBucket(t *testing.T) {
	longRuns(t)
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{t: time.Unix(1e9, 0)}
		b := &bucket{clock: c, history: map[string][]event{}}
		n := NewNames[int](NamesConfig{
			TTL:         rapid.SampledFrom([]time.Duration{5, 50, 500}).Draw(t, "ttl"),
			NegativeTTL: rapid.SampledFrom([]time.Duration{0, 3, 30, 700}).Draw(t, "negative"),
			MaxBytes:    rapid.SampledFrom([]int64{1100, 1700, 1 << 20}).Draw(t, "bytes"),
			Now:         c.now,
		})
		var scans []*scanning
		serial := 0
		dir := func() string { return rapid.SampledFrom(modelDirs).Draw(t, "dir") }
		name := func() string { return rapid.SampledFrom(modelNames).Draw(t, "name") }
		change := func(mine bool) func(*rapid.T) {
			return func(t *rapid.T) {
				d, x := dir(), name()
				if rapid.Bool().Draw(t, "remove") {
					b.set(d+x, 0, mine)
					if mine {
						n.PutAbsent(d, x)
					}
					return
				}
				serial++
				b.set(d+x, serial, mine)
				if mine {
					n.Put(d, x, serial)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"mine":   change(true),
			"others": change(false),
			"see": func(t *rapid.T) {
				d, x := dir(), name()
				if e := b.get(d + x); e != 0 {
					n.Put(d, x, e)
				} else {
					n.PutAbsent(d, x)
				}
			},
			"time": func(t *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 6).Draw(t, "d"))) },
			"begin": func(t *rapid.T) {
				d := dir()
				scans = append(scans, &scanning{scan: n.Begin(d), dir: d})
			},
			"page": func(t *rapid.T) {
				if len(scans) == 0 {
					return
				}
				i := rapid.IntRange(0, len(scans)-1).Draw(t, "scan")
				if page(t, b, scans[i]) {
					scans = slices.Delete(scans, i, i+1)
				}
			},
			"ask": func(t *rapid.T) {
				d, x := dir(), name()
				s := &scanning{scan: n.Begin(d), dir: d, name: x}
				if rapid.Bool().Draw(t, "answer first") { // a reply that takes its time to arrive
					s.entry, s.answered = b.get(d+x), true
				}
				scans = append(scans, s)
			},
			"forget": func(t *rapid.T) {
				switch rapid.IntRange(0, 20).Draw(t, "what") {
				case 0:
					prefix := dir()
					n.DropTree(prefix)
					if left := n.dirs.Keys(); slices.ContainsFunc(left, func(d string) bool { return strings.HasPrefix(d, prefix) }) {
						t.Fatalf("DropTree(%q) leaves %q", prefix, left)
					}
				case 1, 2:
					n.DropDir(dir())
				case 3, 4, 5:
					n.Drop(dir(), name())
				}
			},
			"": func(t *rapid.T) { checkNames(t, n, b) },
		})
	})
}

// longRuns makes rapid take enough steps for listings to begin, end and expire;
// a -rapid.steps given by hand is kept.
func longRuns(t *testing.T) {
	t.Helper()
	steps := flag.Lookup("rapid.steps")
	if before := steps.Value.String(); before == steps.DefValue {
		_ = flag.Set(steps.Name, "300")
		t.Cleanup(func() { _ = flag.Set(steps.Name, before) })
	}
}

// page ends a request about one name, or reads a page of up to three names of a
// listing, and ends that after the last one, early, or not at all. It reports
// whether the scan is over.
func page(t *rapid.T, b *bucket, s *scanning) bool {
	if s.name != "" {
		if !s.answered {
			s.entry = b.get(s.dir + s.name)
		}
		if s.entry != 0 {
			s.scan.Found(s.name, s.entry)
		} else {
			s.scan.Missing(s.name)
		}
		return true
	}
	got := 0
	for _, x := range modelNames {
		if e := b.get(s.dir + x); x > s.after && e != 0 && got < 3 {
			s.read = append(s.read, Named[int]{x, e})
			s.after = x
			got++
		}
	}
	switch {
	case got < 3:
		s.scan.Done(s.read)
	case rapid.Bool().Draw(t, "partial"):
		s.scan.Partial(s.read)
	default:
		return false
	}
	return true
}

func checkNames(t *rapid.T, n *Names[int], b *bucket) {
	for _, d := range modelDirs {
		known := map[string]int{}
		for _, x := range modelNames {
			e, left, v := n.Lookup(d, x)
			if (v == Unknown) != (left <= 0) {
				t.Fatalf("Lookup(%q, %q): %v for another %v", d, x, v, left)
			}
			ttl := n.cfg.TTL
			switch v {
			case Present:
				known[x] = e
			case Absent:
				ttl = max(ttl, n.cfg.NegativeTTL)
			}
			if v != Unknown && !b.may(d+x, e, ttl) {
				t.Fatalf("Lookup(%q, %q) = %d, %v; the bucket had %v, now %v", d, x, e, v, b.history[d+x], b.clock.t)
			}
		}
		for _, x := range modelNames {
			others, told := n.Others(d, x)
			left := maps.Clone(known)
			delete(left, x)
			if told && others != (len(left) > 0) {
				t.Fatalf("Others(%q, %q) = %v, lookups say %v", d, x, others, known)
			}
		}
		entries, _, ok := n.Dir(d)
		if !ok {
			continue
		}
		inDir := map[string]int{}
		for _, e := range entries {
			inDir[e.Name] = e.Entry
		}
		if !maps.Equal(inDir, known) || len(inDir) != len(entries) || !slices.IsSortedFunc(entries, byName) {
			t.Fatalf("Dir(%q) = %v, lookups say %v", d, entries, known)
		}
	}
	checkWeight(t, n)
}

// checkWeight recomputes from nothing what is accounted for step by step.
func checkWeight(t *rapid.T, n *Names[int]) {
	var sum int64
	above := newAncestry()
	for _, path := range n.dirs.Keys() {
		d, _ := n.dirs.Peek(path)
		bytes := d.scale.directory(path) + d.scale.listing(d.listed)
		for name, c := range d.changes {
			bytes += d.scale.change(name, &c.entry)
		}
		if bytes != d.bytes {
			t.Fatalf("%q weighs %d, accounted %d: %s", path, bytes, d.bytes, fmt.Sprint(d))
		}
		sum += bytes
		above.add(path)
	}
	if !maps.Equal(above.known, n.above.known) || above.bytes != n.above.bytes {
		t.Fatalf("directories under each prefix: %v, want %v", n.above, above)
	}
	sum += above.bytes
	if s := n.Stats(); s.Bytes != sum || sum > n.cfg.MaxBytes {
		t.Fatalf("all weigh %d, accounted %d, bound %d", sum, s.Bytes, n.cfg.MaxBytes)
	}
}
