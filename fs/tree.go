package fs

import (
	"slices"
	"strings"
	"sync"
)

// node is a file, directory or link that the kernel knows by a number. It is
// identity only: where it stands, not what the bucket says about it.
type node struct {
	id   uint64 // the kernel's handle for it; never used twice
	ino  uint64 // st_ino
	kind kind
	lead string // of an @s3+ directory: the beginning of the parts inside

	// guarded by tree.mu
	parent   *node // nil once the name is gone, and for the root
	name     string
	part     string // what the key adds to the parent's prefix
	children map[string]*node
	lookups  uint64 // how often the kernel was told of it
	pins     int    // operations that need the keys at and below to stay
	waiting  int    // times that it is in FS.pending: attributes are not in the bucket yet
	moving   bool   // a rename of this directory waits for, or has, the pins
	link     string // of a symbolic link: the version that its target is of
	file     *file  // of a regular file that is open or has unsaved bytes

	mu        sync.Mutex
	own       *owned // guarded by mu; nil if this mount changed nothing
	saves     int    // guarded by mu; how often this mount gave it another version
	rewriting bool   // guarded by mu; this mount is about to learn which version its attributes made
	pages     string // guarded by mu; the ETag of the version whose pages the kernel may hold
	lost      error  // guarded by mu; a save that failed when nobody could be told
	target    string // guarded by mu; of a link, once it is known
}

// cached is the version whose pages the kernel may hold.
func (n *node) cached() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pages
}

// setCached records that version, and reports whether it was that before.
func (n *node) setCached(etag string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	same := n.pages == etag && etag != ""
	n.pages = etag
	return same
}

// tree is all nodes, by number and by name.
type tree struct {
	mu    sync.Mutex
	moved *sync.Cond // a pin or a move ended
	root  *node
	byID  map[uint64]*node
	inos  map[uint64]*node
	next  uint64
}

func newTree(prefix string) *tree {
	root := &node{id: rootIno, ino: rootIno, kind: kindDir, part: prefix, children: map[string]*node{}, lookups: 1}
	t := &tree{root: root, byID: map[uint64]*node{rootIno: root}, inos: map[uint64]*node{rootIno: root}, next: rootIno}
	t.moved = sync.NewCond(&t.mu)
	return t
}

func (t *tree) get(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *tree) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// child is the node of a name, if the kernel knows one.
func (t *tree) child(dir *node, name string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dir.children[name]
}

// isOpen reports whether a name is open here.
func (t *tree) isOpen(dir *node, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := dir.children[name]
	return n != nil && n.file != nil
}

// keyLocked is the node's key, for a directory the prefix of what is in it.
// It reports false when the name is gone. t.mu must be held.
func (n *node) keyLocked() (string, bool) {
	if n.parent == nil {
		return n.part, n.id == rootIno
	}
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.part)
	}
	if n.id != rootIno {
		return "", false
	}
	var b strings.Builder
	b.WriteString(n.part)
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return b.String(), true
}

// key is where the node stands now. What must not change meanwhile needs pin.
func (t *tree) key(n *node) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.keyLocked()
}

// path is the node's path below the mount, for logs and reports.
func (t *tree) path(n *node) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.id == rootIno {
		return "/"
	}
	var names []string
	for ; n.parent != nil; n = n.parent {
		names = append(names, n.name)
	}
	if n.id != rootIno {
		return "(deleted)"
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteString("/")
		b.WriteString(names[i])
	}
	return b.String()
}

// place is a node's directory and name at one moment.
func (t *tree) place(n *node) (dir *node, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.parent, n.name
}

// learn returns the node of a name, made if need be, and counts one more
// lookup. A node of another kind under that name has lost it.
func (t *tree) learn(dir *node, name string, e entry) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := dir.children[name]
	if n != nil && (n.kind != e.kind || n.part != e.part || n.kind == kindLink && n.link != e.etag) {
		t.unlinkLocked(n) // the kernel keeps a link's target as long as the node
		n = nil
	}
	if n == nil {
		n = t.addLocked(dir, name, e)
	}
	n.lookups++
	return n
}

// relink records that the target of a link is another version now, as after a
// copy.
func (t *tree) relink(n *node, was, is string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.kind == kindLink && n.link == was {
		n.link = is
	}
}

// add makes a new node under a name, which loses the node it had.
func (t *tree) add(dir *node, name string, e entry) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := dir.children[name]; old != nil {
		t.unlinkLocked(old)
	}
	n := t.addLocked(dir, name, e)
	n.lookups++
	return n
}

func (t *tree) addLocked(dir *node, name string, e entry) *node {
	t.next++
	n := &node{id: t.next, kind: e.kind, parent: dir, name: name, part: e.part}
	if e.kind == kindLink {
		n.link = e.etag
	}
	if e.kind == kindDir {
		n.children = map[string]*node{}
		if !strings.HasSuffix(e.part, "/") {
			n.lead = dir.lead + e.part
		}
	}
	for n.ino = inoOf(dir.ino, name); t.inos[n.ino] != nil; n.ino++ {
	}
	t.byID[n.id], t.inos[n.ino] = n, n
	dir.children[name] = n
	return n
}

// unlink takes the node's name away; who has it open keeps it.
func (t *tree) unlink(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unlinkLocked(n)
}

func (t *tree) unlinkLocked(n *node) {
	if n.parent != nil && n.parent.children[n.name] == n {
		delete(n.parent.children, n.name)
	}
	parent := n.parent
	n.parent, n.name = nil, ""
	t.dropLocked(n)
	if parent != nil {
		t.dropLocked(parent)
	}
}

// move gives the node a new name. The one that had it loses it.
func (t *tree) move(n, dir *node, name, part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := dir.children[name]; old != nil && old != n {
		t.unlinkLocked(old)
	}
	from := n.parent
	if from != nil {
		delete(from.children, n.name)
	}
	n.parent, n.name, n.part = dir, name, part
	dir.children[name] = n
	if from != nil && from != dir {
		t.dropLocked(from)
	}
}

// hold keeps the node, until release, also when the kernel forgets it: a new one
// of the same name would not know what this one has yet to save.
func (t *tree) hold(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.waiting++
}

func (t *tree) release(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.waiting--
	t.dropLocked(n)
}

// forget takes back lookups. The node goes when nobody has any, it has no
// children left, no open file and nothing to save.
func (t *tree) forget(id, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil || n.id == rootIno {
		return
	}
	n.lookups -= min(lookups, n.lookups)
	t.dropLocked(n)
}

func (t *tree) dropLocked(n *node) {
	for n != nil && n.id != rootIno && n.lookups == 0 && n.file == nil && len(n.children) == 0 && n.pins == 0 && n.waiting == 0 {
		if t.byID[n.id] != n {
			return
		}
		delete(t.byID, n.id)
		if t.inos[n.ino] == n {
			delete(t.inos, n.ino)
		}
		parent := n.parent
		if parent != nil && parent.children[n.name] == n {
			delete(parent.children, n.name)
		}
		n = parent
	}
}

// openBelow is the nodes under dir that have an open file.
func (t *tree) openBelow(dir *node) []*node {
	nodes := t.below(dir)
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(nodes, func(n *node) bool { return n.file == nil })
}

// below is the nodes at and under dir.
func (t *tree) below(dir *node) []*node {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*node
	var walk func(*node)
	walk = func(n *node) {
		out = append(out, n)
		for _, c := range n.children {
			walk(c)
		}
	}
	walk(dir)
	return out
}
