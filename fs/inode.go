package fs

import "hash/fnv"

// Numbers of inodes. A number is the hash of the directory's number and the
// name, so that it is the same after a remount and the same for whoever looks
// first; a number in use is stepped over. It stays with the node through
// renames and is free again only when the kernel has forgotten the node.

const rootIno = 1

// inoOf is the number that a name would get if nobody had it.
func inoOf(parent uint64, name string) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(parent >> (8 * i))
	}
	h.Write(b[:])
	h.Write([]byte(name))
	return h.Sum64()&(1<<63-1) | 2 // never 0 or 1, and positive as a signed number
}
