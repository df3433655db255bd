package cache

import "strings"

// ancestry counts the directories that are known beneath each prefix. Removing
// a tree from the leaves up, which drops each directory with all beneath it,
// would otherwise look through all directories every time.
type ancestry struct {
	known map[string]int
	bytes int64 // estimated memory
}

// ancestorWeight is what a prefix takes beside its name: the slot of a map that
// is half full.
const ancestorWeight = 48

func newAncestry() ancestry { return ancestry{known: map[string]int{}} }

// add counts a directory under its own path and each above it but "".
func (a *ancestry) add(dir string) {
	for prefix := range prefixes(dir) {
		if a.known[prefix] == 0 {
			prefix = strings.Clone(prefix) // dir may be much longer, and go first
			a.bytes += ancestorWeight + int64(len(prefix))
		}
		a.known[prefix]++
	}
}

// remove takes back one add.
func (a *ancestry) remove(dir string) {
	for prefix := range prefixes(dir) {
		if a.known[prefix]--; a.known[prefix] == 0 {
			delete(a.known, prefix)
			a.bytes -= ancestorWeight + int64(len(prefix))
		}
	}
}

// prefixes yields "a/", "a/b/" and so on, up to dir itself.
func prefixes(dir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(dir) {
			if dir[i] == '/' && !yield(dir[:i+1]) {
				return
			}
		}
	}
}
