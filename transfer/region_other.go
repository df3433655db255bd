//go:build !linux || race

package transfer

// region is room for the buffers of one size, on Go's heap: under the race
// detector, which cannot watch other memory, and where the kernel's advice means
// something else.
type region struct {
	slots [][]byte
	size  int // bytes of one slot
}

func newRegion(size, slots int) (*region, error) {
	return &region{slots: make([][]byte, slots), size: size}, nil
}

func (g *region) slot(i int32) []byte {
	if g.slots[i] == nil {
		g.slots[i] = make([]byte, g.size)
	}
	return g.slots[i]
}

func (g *region) run(i int32, off, n int) ([]byte, bool) {
	if off+n > g.size {
		return nil, false
	}
	return g.slots[i][off : off+n : off+n], true
}

func (g *region) giveBack(i int32) { g.slots[i] = nil }

func (g *region) close() error { return nil }
