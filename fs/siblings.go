package fs

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// Programs that read a tree (cp -r, tar, grep -r) open a directory's files one
// after another, and each open is a round trip. With Config.ReadAheadFiles the
// files behind the last one are opened meanwhile. The price is that such an
// open shows what the bucket held up to siblingAge before, so it is asked for.

const (
	siblingAge  = time.Second // how old the answer to an open may be
	siblingSize = 1 << 20     // larger files have a read-ahead of their own
	siblingMost = 64          // files opened ahead
	siblingRun  = 3           // files opened in order before that is taken for a walk
	siblingSkip = 16          // names that a walk may leave out at once
	trailsMost  = 16          // directories that are walked through at once
	trailNames  = 100_000     // names that are held for them, but for the last directory's
)

// siblings is what was opened ahead, and why.
type siblings struct {
	mu     sync.Mutex
	trails map[string]*trail // guarded by mu; by the directory's prefix
	early  map[string]*early // guarded by mu; by key
}

// trail is one directory whose files are being opened, in the order of their
// names, or of their inodes' numbers, as cp -r does it.
type trail struct {
	names  []cache.Named[entry] // as listed when it began
	dir    uint64               // the directory's inode
	byIno  []int32              // places in names in the order of inodes, once that was tried
	inodes bool                 // that is the order of the walk
	at     int                  // the last one opened
	run    int                  // how many were opened in order
	asked  int                  // all before it were opened ahead or passed
	last   time.Time
	pace   time.Duration // from one file to the next, of late
}

// nth is the n-th name in the order of the walk.
func (t *trail) nth(n int) cache.Named[entry] {
	if t.inodes {
		n = int(t.byIno[n])
	}
	return t.names[n]
}

// find is the place of a name in the order of the walk.
func (t *trail) find(name string) int {
	var at int
	if t.inodes {
		at, _ = slices.BinarySearchFunc(t.byIno, inoOf(t.dir, name), func(i int32, ino uint64) int { return cmp.Compare(inoOf(t.dir, t.names[i].Name), ino) })
	} else {
		at, _ = slices.BinarySearchFunc(t.names, name, func(n cache.Named[entry], name string) int { return strings.Compare(n.Name, name) })
	}
	return at
}

// turn tries the other order.
func (t *trail) turn() {
	if t.inodes = !t.inodes; !t.inodes || t.byIno != nil {
		return
	}
	inos := make([]uint64, len(t.names))
	t.byIno = make([]int32, len(t.names))
	for i, n := range t.names {
		inos[i], t.byIno[i] = inoOf(t.dir, n.Name), int32(i)
	}
	slices.SortFunc(t.byIno, func(a, b int32) int { return cmp.Compare(inos[a], inos[b]) })
}

// early is a file that was opened before its program asked. Until that takes it
// a goroutine looks after it.
type early struct {
	asked time.Time
	end   context.CancelFunc
	done  chan struct{} // closed when the rest is set
	taken chan struct{} // closed when somebody took it

	reader *transfer.Reader
	info   s3.Info
	err    error
}

// step moves the trail to a name and returns how many names from there on are
// worth opening ahead: few at first, for a look at some files is no walk, and
// never more than the program reads before they have that age.
func (t *trail) step(name string, now time.Time, age time.Duration) int {
	t.pace = (3*t.pace + now.Sub(t.last)) / 4
	t.last = now
	next := t.at + 1
	for next < min(t.at+1+siblingSkip, len(t.names)) && t.nth(next).Name != name {
		next++
	}
	if next < min(t.at+1+siblingSkip, len(t.names)) {
		t.at = next
		t.run++
	} else {
		t.turn()
		t.at = t.find(name)
		t.run, t.asked = 1, 0
	}
	if t.run < siblingRun {
		return 0
	}
	return min(2<<min(t.run-siblingRun, 10), siblingMost, int(age/2/max(t.pace, time.Microsecond)))
}

// openObject is transfer.Engine's Open of a node's object for reading, which may
// have been sent already.
func (f *FS) openObject(ctx context.Context, n *node, key string, hint s3.Object, have string) (*transfer.Reader, s3.Info, bool, error) {
	now := f.cfg.Now()
	e := f.siblings.take(key)
	f.openSiblings(n, now)
	if e != nil {
		if reader := e.await(ctx, now, f.cfg.aheadAge); reader != nil {
			return reader, e.info, e.info.ETag == have, nil
		}
	}
	return f.xfer.Open(ctx, key, hint, have)
}

// await returns the reader of a file that was taken, nil if it could not be
// opened or that was longer than age before now.
func (e *early) await(ctx context.Context, now time.Time, age time.Duration) *transfer.Reader {
	select {
	case <-e.done:
	case <-ctx.Done():
		e.end()
		<-e.done
	}
	switch {
	case e.err != nil:
		return nil
	case ctx.Err() != nil, now.Sub(e.asked) > age:
		e.reader.Close()
		return nil
	}
	return e.reader
}

// openSiblings opens the files that follow n, if a program walks through its
// directory.
func (f *FS) openSiblings(n *node, now time.Time) {
	dir, name := f.tree.place(n)
	if dir == nil {
		return
	}
	prefix, ok := f.tree.key(dir)
	if !ok {
		return
	}
	s := &f.siblings
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trails[prefix]
	if t == nil || now.Sub(t.last) > walkPause {
		if t = f.newTrail(dir, prefix, now); t == nil {
			return
		}
	}
	more := t.step(name, now, f.cfg.aheadAge)
	for t.asked = max(t.asked, t.at+1); t.asked < min(t.at+1+more, len(t.names)); t.asked++ {
		next := t.nth(t.asked)
		if next.Entry.kind != kindFile || next.Entry.size > siblingSize || f.tree.isOpen(dir, next.Name) {
			continue
		}
		if st := f.xfer.Stats(); st.MemoryUsed > st.MemoryLimit/2 {
			return // this is only likely to be useful
		}
		f.openEarly(next.Entry.object(prefix), now)
	}
}

// newTrail begins one, if the directory's names are known. s.mu must be held.
func (f *FS) newTrail(dir *node, prefix string, now time.Time) *trail {
	names, _, ok := f.names.Dir(prefix)
	if !ok {
		return nil
	}
	s := &f.siblings
	held := len(names)
	for _, t := range s.trails {
		held += len(t.names)
	}
	if s.trails == nil || len(s.trails) >= trailsMost || held > trailNames {
		s.trails = map[string]*trail{} // they are soon found again
	}
	t := &trail{names: names, dir: dir.ino, at: len(names), inodes: true, last: now}
	s.trails[prefix] = t
	return t
}

// openEarly opens an object for whoever will. s.mu must be held.
func (f *FS) openEarly(o s3.Object, now time.Time) {
	s := &f.siblings
	if s.early[o.Key] != nil || f.life.Err() != nil {
		return
	}
	ctx, end := context.WithCancel(f.life)
	e := &early{asked: now, end: end, done: make(chan struct{}), taken: make(chan struct{})}
	if s.early == nil {
		s.early = map[string]*early{}
	}
	s.early[o.Key] = e
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		defer end()
		e.reader, e.info, _, e.err = f.xfer.Open(ctx, o.Key, o, "")
		close(e.done)
		select {
		case <-e.taken:
			return
		case <-ctx.Done():
		case <-time.After(f.cfg.aheadAge):
		}
		if s.remove(o.Key, e) && e.err == nil {
			e.reader.Close()
		}
	}()
}

// take returns what was opened ahead under a key, if anything was; it is the
// caller's then.
func (s *siblings) take(key string) *early {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.early[key]
	if e != nil {
		delete(s.early, key)
		close(e.taken)
	}
	return e
}

// remove forgets e, and reports whether nobody has taken it.
func (s *siblings) remove(key string, e *early) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.early[key] == e {
		delete(s.early, key)
	}
	select {
	case <-e.taken:
		return false
	default:
		return true
	}
}

// drop gives up what was opened ahead under a key, because this mount changes
// what is there.
func (s *siblings) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.early[key]; e != nil {
		delete(s.early, key)
		e.end()
	}
}

// dropAll is drop of everything.
func (s *siblings) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.early {
		e.end()
	}
	s.early = nil
}
