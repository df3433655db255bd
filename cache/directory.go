package cache

import (
	"slices"
	"sort"
	"strings"
	"time"
)

// extent is how much of a directory its listing covers.
type extent int

const (
	some     extent = iota // names here and there
	partial                // the first page
	complete               // all of it
)

// directory is what is known about one directory: a listing, and the changes
// since. Times are those of Names.now. It does no locking and reads no clock.
type directory[E any] struct {
	scale scale[E]

	// The listing. Its slice is sorted by name, handed out, and never changed
	// in place. It may hold names that changes contradict.
	listed []Named[E]
	weight int64 // of listed
	extent extent
	until  time.Duration // when the listing expires
	scan   uint64        // the number of the scan that brought it

	// changes are newer than the listing, whatever their own lifetime: while
	// the listing is fresh, a name with a change is never looked up in it.
	changes map[string]*change[E]
	pending bool // some change of a complete directory is not merged
	sweepAt int  // the number of changes at which expired ones are dropped

	bytes int64 // estimated memory
}

// change is what a name was put, or seen to be, on its own. An Unknown one
// hides the name in the listing.
type change[E any] struct {
	entry   E
	verdict Verdict
	until   time.Duration
	merged  bool // listed agrees
}

// minSweep keeps small directories from being swept at every change.
const minSweep = 64

func newDirectory[E any](path string, s scale[E]) *directory[E] {
	return &directory[E]{scale: s, changes: map[string]*change[E]{}, sweepAt: minSweep, bytes: s.directory(path)}
}

func (d *directory[E]) fresh(now time.Duration, x extent) bool {
	return d.extent == x && now < d.until
}

// find returns where name is, or would be, in a sorted listing.
func find[E any](listed []Named[E], name string) (int, bool) {
	return sort.Find(len(listed), func(i int) int { return strings.Compare(name, listed[i].Name) })
}

func (d *directory[E]) lookup(name string, now time.Duration) (e E, left time.Duration, v Verdict) {
	var none E
	c, changed := d.changes[name]
	if changed {
		left, v = c.until-now, c.verdict
		if v == Absent && d.extent == complete {
			left = max(left, d.until-now)
		}
		if left <= 0 || v == Unknown {
			return none, 0, Unknown
		}
		return c.entry, left, v
	}
	left = d.until - now
	if left <= 0 {
		return none, 0, Unknown
	}
	if i, ok := find(d.listed, name); ok {
		return d.listed[i].Entry, left, Present
	}
	if d.extent == complete {
		return none, left, Absent
	}
	return none, 0, Unknown
}

// newer reports whether a listing that began after the given scan tells about a
// name.
func (d *directory[E]) newer(name string, scan uint64, now time.Duration) bool {
	if now >= d.until || d.scan < scan {
		return false
	}
	_, listed := find(d.listed, name)
	return listed || d.extent == complete
}

// note records a change.
func (d *directory[E]) note(name string, e E, v Verdict, until, now time.Duration) {
	if len(d.changes) >= d.sweepAt {
		d.sweep(now)
	}
	d.drop(name)
	c := &change[E]{entry: e, verdict: v, until: until}
	name = strings.Clone(name) // it may be a piece of a long key
	d.changes[name] = c
	d.bytes += d.scale.change(name, &c.entry)
	d.pending = true
}

// forget makes a name Unknown.
func (d *directory[E]) forget(name string) {
	d.drop(name)
	if d.extent == complete {
		d.extent = some
	}
	if _, listed := find(d.listed, name); listed {
		var none E
		d.note(name, none, Unknown, 0, 0)
	}
}

// drop removes the change of a name, if there is one.
func (d *directory[E]) drop(name string) {
	if c, ok := d.changes[name]; ok {
		d.bytes -= d.scale.change(name, &c.entry)
		delete(d.changes, name)
	}
}

// sweep drops what has expired. A change outlives its time while the listing
// contradicts it. The map is made anew because maps never give memory back.
func (d *directory[E]) sweep(now time.Duration) {
	if now >= d.until {
		d.setListed(nil, 0)
		d.extent = some
	}
	kept := make(map[string]*change[E], len(d.changes)/2)
	for name, c := range d.changes {
		_, listed := find(d.listed, name)
		if listed || now < c.until {
			kept[name] = c
		} else {
			d.bytes -= d.scale.change(name, &c.entry)
		}
	}
	d.changes = kept
	d.sweepAt = max(minSweep, 2*len(kept))
}

func (d *directory[E]) setListed(listed []Named[E], weight int64) {
	d.bytes += weight - d.weight
	d.listed, d.weight = listed, weight
}

// merged returns a complete directory as one sorted slice. The changes stay,
// because they may outlive the listing.
func (d *directory[E]) merged() []Named[E] {
	if !d.pending {
		return d.listed
	}
	d.pending = false
	weight := d.weight
	var put []Named[E]
	hidden := map[string]bool{}
	for name, c := range d.changes {
		if c.merged {
			continue
		}
		c.merged = true
		if i, listed := find(d.listed, name); listed {
			hidden[name] = true
			weight -= d.scale.named(&d.listed[i])
		}
		if c.verdict == Present {
			put = append(put, Named[E]{Name: name, Entry: c.entry})
			weight += d.scale.named(&put[len(put)-1])
		}
	}
	if len(hidden)+len(put) > 0 {
		slices.SortFunc(put, byName)
		d.setListed(mergeListed(d.listed, put, hidden), weight)
	}
	return d.listed
}

// others tells whether a complete directory has another name than this one. It
// looks from both ends, as those who remove all names go from one to the other.
func (d *directory[E]) others(name string) bool {
	stays := func(other string) bool {
		c, changed := d.changes[other]
		return other != name && (!changed || c.verdict == Present)
	}
	for i, j := 0, len(d.listed)-1; i <= j; i, j = i+1, j-1 {
		if stays(d.listed[i].Name) || stays(d.listed[j].Name) {
			return true
		}
	}
	for other, c := range d.changes {
		if other != name && c.verdict == Present {
			return true
		}
	}
	return false
}

// mergeListed returns the sorted union of listed, less the hidden names, and put.
func mergeListed[E any](listed, put []Named[E], hidden map[string]bool) []Named[E] {
	all := make([]Named[E], 0, len(listed)+len(put))
	for _, l := range listed {
		for len(put) > 0 && put[0].Name < l.Name {
			all, put = append(all, put[0]), put[1:]
		}
		if !hidden[l.Name] {
			all = append(all, l)
		}
	}
	return append(all, put...)
}

func byName[E any](a, b Named[E]) int { return strings.Compare(a.Name, b.Name) }

// install takes a listing over from the scan with the given number. Names in
// since changed after it began: there the changes win.
func (d *directory[E]) install(listed []Named[E], x extent, scan uint64, until, now time.Duration, since map[string]Verdict) {
	if d.fresh(now, complete) && (scan < d.scan || x == partial) {
		return // what is known is newer, or tells more
	}
	if len(since) > 0 {
		listed = slices.DeleteFunc(listed, func(e Named[E]) bool { _, ok := since[e.Name]; return ok })
	}
	for name, v := range since {
		_, known := d.changes[name]
		if x == complete && (v == Unknown || v == Present && !known) {
			x = some // nothing is known about this name
		}
	}
	for name, c := range d.changes {
		_, newer := since[name]
		_, told := find(listed, name)
		if c.verdict == Unknown || told || x != partial && !newer {
			d.drop(name)
		}
		c.merged = false
	}
	d.setListed(listed, d.scale.listing(listed))
	d.extent, d.scan, d.until, d.pending = x, scan, until, true
}
