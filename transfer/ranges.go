package transfer

import (
	"cmp"
	"slices"
)

// span is the bytes from off up to end, without end.
type span struct{ off, end int64 }

func (s span) len() int64 { return s.end - s.off }

// ranges is a set of bytes: spans in order that neither overlap nor touch. The
// zero value is the empty set.
type ranges []span

// search returns the index of the first span that ends after off.
func (r ranges) search(off int64) int {
	i, _ := slices.BinarySearchFunc(r, off, func(s span, off int64) int {
		if s.end <= off {
			return -1
		}
		return 1
	})
	return i
}

// add puts the bytes from off to end into the set.
func (r *ranges) add(off, end int64) {
	if off >= end {
		return
	}
	i := r.search(off)
	if i > 0 && (*r)[i-1].end == off {
		i-- // touches the one before
	}
	j := i
	for j < len(*r) && (*r)[j].off <= end {
		off, end = min(off, (*r)[j].off), max(end, (*r)[j].end)
		j++
	}
	*r = slices.Replace(*r, i, j, span{off, end})
}

// remove takes the bytes from off to end out of the set.
func (r *ranges) remove(off, end int64) {
	if off >= end {
		return
	}
	i := r.search(off)
	j := i
	var left [2]span
	rest := left[:0]
	for ; j < len(*r) && (*r)[j].off < end; j++ {
		s := (*r)[j]
		if s.off < off {
			rest = append(rest, span{s.off, off})
		}
		if s.end > end {
			rest = append(rest, span{end, s.end})
		}
	}
	*r = slices.Replace(*r, i, j, rest...)
}

// covers tells whether all bytes from off to end are in the set.
func (r ranges) covers(off, end int64) bool {
	if off >= end {
		return true
	}
	i := r.search(off)
	return i < len(r) && r[i].off <= off && end <= r[i].end
}

// touches tells whether any byte from off to end is in the set.
func (r ranges) touches(off, end int64) bool {
	i := r.search(off)
	return off < end && i < len(r) && r[i].off < end
}

// at tells whether byte off is in the set, and up to where that does not
// change, at most limit.
func (r ranges) at(off, limit int64) (in bool, end int64) {
	i := r.search(off)
	switch {
	case i == len(r):
		return false, limit
	case r[i].off <= off:
		return true, min(r[i].end, limit)
	default:
		return false, min(r[i].off, limit)
	}
}

// within returns the part of the set between off and end.
func (r ranges) within(off, end int64) ranges {
	var in ranges
	for i := r.search(off); i < len(r) && r[i].off < end; i++ {
		in = append(in, span{max(r[i].off, off), min(r[i].end, end)})
	}
	return in
}

// gaps returns the bytes between off and end that are not in the set.
func (r ranges) gaps(off, end int64) ranges {
	var out ranges
	for i := r.search(off); off < end; i++ {
		if i == len(r) || r[i].off >= end {
			return append(out, span{off, end})
		}
		if r[i].off > off {
			out = append(out, span{off, r[i].off})
		}
		off = r[i].end
	}
	return out
}

// union returns the bytes that are in a or in b.
func union(a, b ranges) ranges {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int { return cmp.Compare(x.off, y.off) })
	out := all[:1]
	for _, s := range all[1:] {
		if last := &out[len(out)-1]; s.off <= last.end {
			last.end = max(last.end, s.end)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// size returns the number of bytes in the set.
func (r ranges) size() int64 {
	var n int64
	for _, s := range r {
		n += s.len()
	}
	return n
}
