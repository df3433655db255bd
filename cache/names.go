package cache

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Verdict is what is known about a name.
type Verdict int

// The verdicts. Unknown means that the bucket has to be asked.
const (
	Unknown Verdict = iota
	Present
	Absent
)

// DefaultNamesBytes is the memory of a Names whose config names none: about
// 100,000 names with what a listing tells of each.
const DefaultNamesBytes = 32 << 20

// NamesConfig configures [NewNames].
type NamesConfig struct {
	// TTL is how long what a listing or a request told is believed. With 0
	// nothing is remembered.
	TTL time.Duration

	// NegativeTTL is how long a name given to PutAbsent is believed to be
	// missing, where no complete listing says so for longer.
	NegativeTTL time.Duration

	// MaxBytes bounds the estimated memory of keys, names and entries. Whole
	// directories are dropped, the least recently used first. 0 is
	// DefaultNamesBytes.
	MaxBytes int64

	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Named is a name in a directory and what is known of it.
type Named[E any] struct {
	Name  string
	Entry E
}

// NamesStats counts what a Names holds and how often it knew the answer.
type NamesStats struct {
	Directories int
	Bytes       int64  // estimated
	Hits        uint64 // lookups answered
	Misses      uint64 // lookups that have to ask the bucket
	Evicted     uint64 // directories dropped because of MaxBytes
}

// Names remembers the names in directories. A directory is named by its key
// prefix, such as "" or "a/b/". It is safe for concurrent use.
type Names[E any] struct {
	cfg   NamesConfig
	scale scale[E]

	mu    sync.Mutex
	clock stopwatch                             // guarded by mu
	dirs  *simplelru.LRU[string, *directory[E]] // guarded by mu; ordered by use
	bytes int64                                 // guarded by mu; the sum of dirs' bytes
	above ancestry                              // guarded by mu; of dirs
	scans map[string]map[*Scan[E]]struct{}      // guarded by mu; those under way
	trees map[*TreeScan[E]]struct{}             // guarded by mu; those under way
	begun uint64                                // guarded by mu; scans so far
	stats NamesStats                            // guarded by mu; only the counters
}

// NewNames returns an empty Names.
func NewNames[E any](cfg NamesConfig) *Names[E] {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultNamesBytes
	}
	n := &Names[E]{
		cfg: cfg, scale: newScale[E](), clock: stopwatch{last: cfg.Now()}, above: newAncestry(),
		scans: map[string]map[*Scan[E]]struct{}{}, trees: map[*TreeScan[E]]struct{}{},
	}
	// Bounded by bytes, not by count. NewLRU fails only for a size below one.
	n.dirs, _ = simplelru.NewLRU(math.MaxInt, func(path string, d *directory[E]) {
		n.bytes -= d.bytes
		n.above.remove(path)
	})
	return n
}

// now is how long n has existed. n.mu is held.
func (n *Names[E]) now() time.Duration { return n.clock.read(n.cfg.Now()) }

// Lookup tells what is known of a name, and for how much longer. In a complete
// directory that is fresh, a name that is not in it is Absent.
func (n *Names[E]) Lookup(dir, name string) (e E, left time.Duration, v Verdict) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if d, ok := n.dirs.Get(dir); ok {
		e, left, v = d.lookup(name, now)
	}
	if v == Unknown {
		n.stats.Misses++
	} else {
		n.stats.Hits++
	}
	return e, left, v
}

// Put says that this mount made or saw the name just now. It replaces what was
// known.
func (n *Names[E]) Put(dir, name string, e E) {
	n.note(dir, name, Present, n.cfg.TTL, e)
}

// PutAbsent says that this mount removed the name just now or saw that it is
// missing.
func (n *Names[E]) PutAbsent(dir, name string) {
	var none E
	n.note(dir, name, Absent, n.cfg.NegativeTTL, none)
}

// Dir returns a fresh and complete directory, sorted by name bytewise, and for
// how much longer it holds. The caller must not change the slice.
func (n *Names[E]) Dir(dir string) (entries []Named[E], left time.Duration, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	d, ok := n.dirs.Get(dir)
	if !ok || !d.fresh(now, complete) {
		n.stats.Misses++
		return nil, 0, false
	}
	n.stats.Hits++
	left = d.until - now
	n.change(dir, func(d *directory[E]) { entries = d.merged() })
	return entries, left, true
}

// Others tells whether a directory that is known completely and freshly has
// another name than this one. It costs much less than Dir after a change.
func (n *Names[E]) Others(dir, name string) (others, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d, ok := n.dirs.Get(dir)
	if !ok || !d.fresh(n.now(), complete) {
		n.stats.Misses++
		return false, false
	}
	n.stats.Hits++
	return d.others(name), true
}

// Partial reports whether a fresh partial listing of the directory is known, so
// that listing its first page again would tell nothing new.
func (n *Names[E]) Partial(dir string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	d, ok := n.dirs.Get(dir)
	return ok && d.fresh(now, partial)
}

// note records what happened to a name, in its directory and for the scans of
// it that are under way.
func (n *Names[E]) note(dir, name string, v Verdict, ttl time.Duration, e E) {
	if n.cfg.TTL <= 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.tellScans(dir, name, v)
	n.change(dir, func(d *directory[E]) { d.note(name, e, v, now+ttl, now) })
}

// change applies f to a directory, made if missing, accounts for its new
// weight, and makes room where that is too much. n.mu is held.
func (n *Names[E]) change(dir string, f func(*directory[E])) {
	d, ok := n.dirs.Get(dir)
	if !ok {
		d = newDirectory(dir, n.scale)
		n.dirs.Add(strings.Clone(dir), d)
		n.above.add(dir)
	} else {
		n.bytes -= d.bytes
	}
	f(d)
	n.bytes += d.bytes
	if d.bytes > n.cfg.MaxBytes { // it would only push out all others first
		n.dirs.Remove(dir)
		n.stats.Evicted++
	}
	for n.weight() > n.cfg.MaxBytes && n.dirs.Len() > 0 {
		n.dirs.RemoveOldest()
		n.stats.Evicted++
	}
}

// weight is the estimated memory of all. n.mu is held.
func (n *Names[E]) weight() int64 { return n.bytes + n.above.bytes }

// Stats returns the counts so far.
func (n *Names[E]) Stats() NamesStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.stats
	s.Directories, s.Bytes = n.dirs.Len(), n.weight()
	return s
}
