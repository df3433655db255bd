//go:build linux && !race

package transfer

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// region is room for the buffers of one size, as address space that becomes
// memory where it is used. Being apart from Go's heap it neither grows the
// garbage collector's target nor waits for a collection to be given back, and
// slots next to each other in number are next to each other in memory.
type region struct {
	mem  []byte
	size int // bytes of one slot
}

func newRegion(size, slots int) (*region, error) {
	mem, err := unix.Mmap(-1, 0, size*slots, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d buffers of %d bytes: %w", slots, size, err)
	}
	// A huge page would make one small buffer resident as 2 MiB. Kernels
	// without huge pages refuse, and need not be asked.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	return &region{mem: mem, size: size}, nil
}

// slot returns slot i with room to slice on into the slots that follow.
func (g *region) slot(i int32) []byte {
	return g.mem[int(i)*g.size : (int(i)+1)*g.size]
}

// run returns n bytes that begin at byte off of slot i and may go on into the
// slots after it.
func (g *region) run(i int32, off, n int) ([]byte, bool) {
	start := int(i)*g.size + off
	return g.mem[start : start+n : start+n], true
}

// giveBack returns the memory of a slot that nobody uses to the system.
func (g *region) giveBack(i int32) {
	// Without success the memory stays resident, within the budget's address
	// space still.
	_ = unix.Madvise(g.slot(i), unix.MADV_DONTNEED)
}

func (g *region) close() error {
	return unix.Munmap(g.mem)
}
