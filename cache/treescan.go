package cache

import (
	"strings"
	"time"
)

// TreeScan is a listing of many directories at once on its way: of everything
// below a prefix. Each directory that it has seen whole is given with Done. A
// TreeScan that is never ended stays in memory.
type TreeScan[E any] struct {
	n      *Names[E]
	prefix string
	number uint64
	begun  time.Duration

	running bool            // guarded by n.mu
	touched map[string]bool // guarded by n.mu; directories that something happened in while it ran
}

// BeginTree says that a listing of all keys below a prefix begins now, before
// anything is sent. A directory in which Put, PutAbsent or a drop changes
// something until Done is left as it is.
func (n *Names[E]) BeginTree(prefix string) *TreeScan[E] {
	t := &TreeScan[E]{n: n, prefix: prefix}
	if n.cfg.TTL <= 0 {
		return t
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun++
	t.number, t.begun, t.running, t.touched = n.begun, n.now(), true, map[string]bool{}
	n.trees[t] = struct{}{}
	return t
}

// Done gives the complete listing of one directory. Its lifetime counts from
// BeginTree.
func (t *TreeScan[E]) Done(dir string, entries []Named[E]) {
	n := t.n
	if n.cfg.TTL <= 0 {
		return
	}
	listed := ordered(entries)
	n.mu.Lock()
	defer n.mu.Unlock()
	now, until := n.now(), t.begun+n.cfg.TTL
	if !t.running || t.touched[dir] || now >= until {
		return
	}
	n.change(dir, func(d *directory[E]) { d.install(listed, complete, t.number, until, now, nil) })
}

// End ends the scan. It is safe at any time.
func (t *TreeScan[E]) End() {
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	t.running, t.touched = false, nil
	delete(t.n.trees, t)
}

// tellTrees tells the tree scans that something happened in a directory. n.mu
// is held.
func (n *Names[E]) tellTrees(dir string) {
	for t := range n.trees {
		if strings.HasPrefix(dir, t.prefix) {
			t.touched[strings.Clone(dir)] = true
		}
		if len(t.touched) > maxSince {
			t.running = false
		}
	}
}

// stopTrees has the tree scans that overlap a prefix bring nothing more. n.mu is
// held.
func (n *Names[E]) stopTrees(prefix string) {
	for t := range n.trees {
		if strings.HasPrefix(prefix, t.prefix) || strings.HasPrefix(t.prefix, prefix) {
			t.running = false
		}
	}
}
