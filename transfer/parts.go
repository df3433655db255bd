package transfer

import "github.com/cgs3fs/cgs3fs/s3"

// Limits are what the server allows. A zero field is S3's own limit.
type Limits struct {
	MaxObject   int64 // bytes of an object
	MaxParts    int   // parts of one upload
	MinPartSize int64 // bytes of every part but the last
	MaxPartSize int64 // bytes of a part, and of one Put
}

func (l Limits) withDefaults() Limits {
	if l.MaxObject == 0 {
		l.MaxObject = s3.MaxObject
	}
	if l.MaxParts == 0 {
		l.MaxParts = s3.MaxParts
	}
	if l.MinPartSize == 0 {
		l.MinPartSize = s3.MinPartSize
	}
	if l.MaxPartSize == 0 {
		l.MaxPartSize = s3.MaxPartSize
	}
	return l
}

// grid divides an object of unknown size into parts: part n always begins at
// the same byte. Parts have the first size until an eleventh of their number is
// used up, then twice that, and so on: small at first, so that little is held
// here, and still 10,000 parts from 5 MiB up to 5 GiB reach beyond 5 TiB.
type grid struct {
	first  int64 // bytes of the first part
	limits Limits
}

const tiers = 11

// eachTier calls f with every run of equal parts in order: the number of its
// first part, where that begins, how many there are and their size; until f
// returns false.
func (g grid) eachTier(f func(first int, off int64, count int, size int64) bool) {
	perTier := max(g.limits.MaxParts/tiers, 1)
	n, off, size := 1, int64(0), g.first
	for n <= g.limits.MaxParts {
		count := min(perTier, g.limits.MaxParts-n+1)
		if !f(n, off, count, size) {
			return
		}
		n, off = n+count, off+int64(count)*size
		size = min(size*2, g.limits.MaxPartSize)
	}
}

// reach returns how large an object the grid can hold.
func (g grid) reach() int64 {
	var end int64
	g.eachTier(func(_ int, off int64, count int, size int64) bool {
		end = off + int64(count)*size
		return end < g.limits.MaxObject
	})
	return min(end, g.limits.MaxObject)
}

// part returns the number of the part that holds byte off, which must be below
// reach.
func (g grid) part(off int64) int {
	n := 0
	g.eachTier(func(first int, start int64, count int, size int64) bool {
		if off < start+int64(count)*size {
			n = first + int((off-start)/size)
			return false
		}
		return true
	})
	return n
}

// span returns the bytes of part n.
func (g grid) span(n int) span {
	var s span
	g.eachTier(func(first int, start int64, count int, size int64) bool {
		if n < first+count {
			s.off = start + int64(n-first)*size
			s.end = s.off + size
			return false
		}
		return true
	})
	return s
}
