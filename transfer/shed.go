package transfer

import "slices"

// shed frees at least need bytes of buffers whose content nobody waits for, if
// there are any: those of the least recently used first. It frees more than it
// must, so that a queue of small needs does not look at everything each time.
func (e *Engine) shed(need int64) {
	need = max(need, e.pool.limit/32)
	type victim struct {
		holder
		used int64
	}
	e.mu.Lock()
	victims := make([]victim, 0, len(e.holders))
	for h := range e.holders {
		victims = append(victims, victim{h, h.lastUse()})
	}
	e.mu.Unlock()
	slices.SortFunc(victims, func(a, b victim) int { return int(a.used - b.used) })
	for _, v := range victims {
		if need <= 0 {
			return
		}
		need -= v.shed(need)
	}
}

// relieve sheds for those who wait, if any do. It is called, with no lock held,
// wherever buffers may have become dispensable.
func (e *Engine) relieve() {
	if e.pool.starved.Load() > 0 {
		e.shed(pieceSize)
	}
}
