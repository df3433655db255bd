package cache

import "strings"

// Drop forgets a name. Its directory, if it was complete, no longer is.
func (n *Names[E]) Drop(dir, name string) {
	if n.cfg.TTL <= 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tellScans(dir, name, Unknown)
	if n.dirs.Contains(dir) {
		n.change(dir, func(d *directory[E]) { d.forget(name) })
	}
}

// DropDir forgets all about one directory. Scans of it that are under way bring
// nothing.
func (n *Names[E]) DropDir(dir string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dirs.Remove(dir)
	n.tellTrees(dir)
	for s := range n.scans[dir] {
		n.stop(s)
	}
}

// DropTree forgets every directory whose path begins with prefix, and has their
// scans bring nothing. It is quick where only prefix itself is known.
func (n *Names[E]) DropTree(prefix string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, dir := range n.beneath(prefix) {
		n.dirs.Remove(dir)
	}
	n.stopTrees(prefix)
	for dir, scans := range n.scans {
		if !strings.HasPrefix(dir, prefix) {
			continue
		}
		for s := range scans {
			n.stop(s)
		}
	}
}

// beneath returns the directories whose paths begin with prefix. n.mu is held.
func (n *Names[E]) beneath(prefix string) (dirs []string) {
	if strings.HasSuffix(prefix, "/") {
		switch known := n.above.known[prefix]; {
		case known == 0:
			return nil
		case known == 1 && n.dirs.Contains(prefix):
			return []string{prefix}
		}
	}
	for _, dir := range n.dirs.Keys() {
		if strings.HasPrefix(dir, prefix) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
