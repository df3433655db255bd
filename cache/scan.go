package cache

import (
	"slices"
	"strings"
	"time"
)

// Scan is a question to the bucket on its way: a listing of one directory, or a
// request about one name in it. It ends with one of Done, Partial, Found,
// Missing and Cancel; the others do nothing after that. A Scan that is never
// ended stays in memory.
type Scan[E any] struct {
	n      *Names[E]
	dir    string
	number uint64
	begun  time.Duration

	running bool               // guarded by n.mu
	since   map[string]Verdict // guarded by n.mu; what happened to names while it ran
}

// maxSince bounds the changes that a scan remembers, and so its memory: a scan
// with more of them brings nothing.
const maxSince = 1 << 16

// Begin says that a listing of the directory, or a request about a name in it,
// begins now, before anything is sent. What Put, PutAbsent and Drop say until it ends wins over what
// it brings.
func (n *Names[E]) Begin(dir string) *Scan[E] {
	s := &Scan[E]{n: n, dir: dir}
	if n.cfg.TTL <= 0 {
		return s
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun++
	s.begun, s.number, s.running = n.now(), n.begun, true
	if n.scans[dir] == nil {
		n.scans[dir] = map[*Scan[E]]struct{}{}
	}
	n.scans[dir][s] = struct{}{}
	return s
}

// Done gives the complete listing, in any order; of a name given twice the
// first counts. Its lifetime counts from Begin.
func (s *Scan[E]) Done(entries []Named[E]) { s.end(entries, complete) }

// Partial gives the first part of a directory that holds more. The entries
// become Present, all other names stay what they are.
func (s *Scan[E]) Partial(entries []Named[E]) { s.end(entries, partial) }

// Found gives the answer to a request about one name. Unlike Put it gives way to
// what this mount did to the name meanwhile. Its lifetime counts from Begin.
func (s *Scan[E]) Found(name string, e E) { s.answer(name, Present, s.n.cfg.TTL, e) }

// Missing says that a request about one name found that it is not there. Unlike
// PutAbsent it gives way to what this mount did to the name meanwhile.
func (s *Scan[E]) Missing(name string) {
	var none E
	s.answer(name, Absent, s.n.cfg.NegativeTTL, none)
}

func (s *Scan[E]) answer(name string, v Verdict, ttl time.Duration, e E) {
	n := s.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stop(s) {
		return
	}
	if _, changed := s.since[name]; changed {
		return
	}
	now := n.now()
	n.change(s.dir, func(d *directory[E]) {
		if !d.newer(name, s.number, now) {
			d.note(name, e, v, s.begun+ttl, now)
		}
	})
}

// Made says that this mount made the directory just now, under a name that was
// Absent for left more: until that is over, it is complete with nothing in it.
func (n *Names[E]) Made(dir string, left time.Duration) {
	s := n.Begin(dir)
	s.begun -= n.cfg.TTL - left
	s.Done(nil)
}

// Cancel gives the scan up. It is safe at any time, also after Done.
func (s *Scan[E]) Cancel() {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	s.n.stop(s)
}

func (s *Scan[E]) end(entries []Named[E], x extent) {
	n := s.n
	if n.cfg.TTL <= 0 {
		return
	}
	listed := ordered(entries)
	n.mu.Lock()
	defer n.mu.Unlock()
	now, until := n.now(), s.begun+n.cfg.TTL
	if !n.stop(s) || now >= until {
		return
	}
	n.change(s.dir, func(d *directory[E]) { d.install(listed, x, s.number, until, now, s.since) })
}

// ordered returns a copy of entries, sorted and without repeated names, that
// shares no memory with longer keys.
func ordered[E any](entries []Named[E]) []Named[E] {
	listed := slices.Clone(entries)
	if !slices.IsSortedFunc(listed, byName) {
		slices.SortStableFunc(listed, byName)
	}
	listed = slices.CompactFunc(listed, func(a, b Named[E]) bool { return a.Name == b.Name })
	for i := range listed {
		listed[i].Name = strings.Clone(listed[i].Name)
	}
	return listed
}

// stop takes a scan off the list of those under way and reports whether it was
// on it. n.mu is held.
func (n *Names[E]) stop(s *Scan[E]) bool {
	if !s.running {
		return false
	}
	s.running = false
	delete(n.scans[s.dir], s)
	if len(n.scans[s.dir]) == 0 {
		delete(n.scans, s.dir)
	}
	return true
}

// tellScans tells the scans of a directory what happened to a name. n.mu is
// held.
func (n *Names[E]) tellScans(dir, name string, v Verdict) {
	n.tellTrees(dir)
	for s := range n.scans[dir] {
		if s.since == nil {
			s.since = map[string]Verdict{}
		}
		s.since[strings.Clone(name)] = v
		if len(s.since) > maxSince {
			n.stop(s)
		}
	}
}
