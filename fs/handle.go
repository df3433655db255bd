package fs

import (
	"sync"
	"syscall"

	"github.com/cgs3fs/cgs3fs/transfer"
)

// handle is one open file description: a read position's prefetching reader,
// and what the program may do.
type handle struct {
	file   *file
	read   bool
	write  bool
	append bool
	opener uint32 // the thread that opened it
	epoch  int    // file.epoch at open

	mu     sync.Mutex
	reader *transfer.Reader // guarded by mu; of the version file.base, made at need
}

// handles numbers what is open: *handle and *dirHandle.
type handles struct {
	mu   sync.Mutex
	next uint64
	byID map[uint64]any
}

func (h *handles) add(v any) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.byID[h.next] = v
	return h.next
}

func (h *handles) file(id uint64) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	fh, _ := h.byID[id].(*handle)
	return fh
}

func (h *handles) dir(id uint64) *dirHandle {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, _ := h.byID[id].(*dirHandle)
	return d
}

func (h *handles) remove(id uint64) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.byID[id]
	delete(h.byID, id)
	return v
}

func (h *handles) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byID)
}

// current is the handle's reader of the file's version, made anew after a
// commit of this mount gave the file another one.
func (h *handle) current() *transfer.Reader {
	base := h.file.state().base.Object
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader != nil {
		if o := h.reader.Object(); o.ETag == base.ETag && o.Key == base.Key {
			return h.reader
		}
		h.reader.Close()
	}
	h.reader = h.file.fs.xfer.NewReader(base)
	return h.reader
}

// stale tells that a conflict took away what the handle had written: what it
// would read or write now is not the file that its program knows.
func (h *handle) stale() error {
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	if h.epoch != h.file.epoch {
		return syscall.ESTALE
	}
	return nil
}

func (h *handle) closeReader() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader != nil {
		h.reader.Close()
		h.reader = nil
	}
}
