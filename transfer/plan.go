package transfer

// piece is one part of a planned upload: bytes that are sent, or a span of the
// base that the server copies.
type piece struct {
	span
	copied bool
}

// plan divides an object of size bytes into the parts of an upload. untouched
// are the bytes that the base has too. Every piece but the last has at least
// the smallest size that is allowed; a touched span shorter than that takes
// bytes of the base with it, and so does the base between two touched spans
// where it is too short to be copied. unit is the size that sent parts are to
// have; it doubles until all pieces fit into one upload.
func plan(size int64, untouched ranges, unit int64, l Limits) []piece {
	least := l.MinPartSize
	for {
		pieces := split(alternate(size, untouched, least), unit, l)
		if len(pieces) <= l.MaxParts || unit >= l.MaxPartSize {
			return pieces
		}
		unit = min(2*unit, l.MaxPartSize)
		least = min(2*least, unit)
	}
}

// alternate divides the object into sent and copied runs. Each but the last
// has at least least bytes.
func alternate(size int64, untouched ranges, least int64) []piece {
	var runs []piece
	var pos int64 // everything before is in runs
	for _, u := range untouched {
		from := u.off
		if from > pos {
			from = max(from, pos+least) // what is sent before must be long enough
		}
		if u.end-from < least {
			continue // too short to be copied: it is sent with what is around it
		}
		if from > pos {
			runs = append(runs, piece{span: span{pos, from}})
		}
		runs = append(runs, piece{span: span{from, u.end}, copied: true})
		pos = u.end
	}
	if pos < size {
		runs = append(runs, piece{span: span{pos, size}})
	}
	return runs
}

// copyUnit is how much one CopyPart is to copy: servers work on several at
// once, and each takes a request.
const copyUnit = 256 << 20

// split cuts runs into pieces of at most unit bytes, copied ones of at most
// copyUnit or more where unit is more, all about equal.
func split(runs []piece, unit int64, l Limits) []piece {
	var pieces []piece
	for _, r := range runs {
		most := unit
		if r.copied {
			most = min(max(unit, copyUnit), l.MaxPartSize)
		}
		count := (r.len() + most - 1) / most
		// Equal pieces are at least half of most; a run that is only a little
		// longer than most must not be halved below what is allowed.
		if count > 1 && r.len()/count < l.MinPartSize {
			count = max(r.len()/l.MinPartSize, 1)
		}
		for i := range count {
			s := span{r.off + r.len()*i/count, r.off + r.len()*(i+1)/count}
			pieces = append(pieces, piece{span: s, copied: r.copied})
		}
	}
	return pieces
}

// sent returns how many bytes of the pieces are not copied.
func sent(pieces []piece) int64 {
	var n int64
	for _, p := range pieces {
		if !p.copied {
			n += p.len()
		}
	}
	return n
}

// anyCopied tells whether the server copies any of the pieces.
func anyCopied(pieces []piece) bool {
	for _, p := range pieces {
		if p.copied {
			return true
		}
	}
	return false
}
