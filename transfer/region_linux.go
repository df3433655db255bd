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
	mem   []byte
	size  int // bytes of one slot
	ready int // bytes from the start that may be used
}

func newRegion(size, slots int) (*region, error) {
	// Without rights the address space costs nothing, also on systems that
	// count memory when it is promised.
	mem, err := unix.Mmap(-1, 0, size*slots, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("reserving %d buffers of %d bytes: %w", slots, size, err)
	}
	// A huge page would make one small buffer resident as 2 MiB. Kernels
	// without huge pages refuse, and need not be asked.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	return &region{mem: mem, size: size}, nil
}

// slot returns slot i. Slots are first used in the order of their numbers.
func (g *region) slot(i int32) []byte {
	start, end := int(i)*g.size, (int(i)+1)*g.size
	if end > g.ready {
		next := min(g.ready+maxBuffer, len(g.mem))
		if err := unix.Mprotect(g.mem[g.ready:next], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			panic(fmt.Sprintf("transfer: the system has no memory for buffers: %v", err)) // as the Go runtime does
		}
		g.ready = next
	}
	return g.mem[start:end:end]
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
