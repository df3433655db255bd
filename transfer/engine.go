package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
)

// ErrFull is a write that the staging directory has no room for. It wraps
// syscall.ENOSPC.
var ErrFull = fmt.Errorf("staging directory is full: %w", syscall.ENOSPC)

// Config says how much an Engine may use. Zero fields have the values named.
type Config struct {
	Memory    int64  // bytes of all buffers together, never exceeded; 160 MiB, at least 8 MiB
	StageDir  string // an existing private directory for bytes that memory does not hold; needed for drafts
	PartSize  int64  // bytes of the first part of an upload; 8 MiB. Later parts grow
	MaxWindow int64  // bytes that one Reader reads ahead at most; 64 MiB, less with little Memory
	Parallel  int    // requests in flight for one file at most; 8
	Limits    Limits // what the server allows; S3's limits
	Log       *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Memory == 0 {
		c.Memory = 160 << 20
	}
	if c.PartSize == 0 {
		c.PartSize = 8 << 20
	}
	if c.MaxWindow == 0 {
		c.MaxWindow = 64 << 20
	}
	if c.Parallel == 0 {
		c.Parallel = 8
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

// Validate says what is wrong with a configuration, defaults filled in.
func (c Config) Validate() error {
	switch {
	case c.Memory < minMemory:
		return fmt.Errorf("memory for transfers must be at least %d bytes, not %d", minMemory, c.Memory)
	case c.Parallel < 1:
		return fmt.Errorf("requests in flight for one file must be at least 1, not %d", c.Parallel)
	case c.PartSize < c.Limits.MinPartSize || c.PartSize > c.Limits.MaxPartSize:
		return fmt.Errorf("part size must be from %d to %d bytes, not %d", c.Limits.MinPartSize, c.Limits.MaxPartSize, c.PartSize)
	}
	return nil
}

// Engine moves bytes between programs and one bucket. Safe for concurrent use.
type Engine struct {
	bucket s3.Bucket
	blocks *cache.Blocks // nil: pieces of objects are not remembered
	cfg    Config
	log    *slog.Logger
	pool   *pool

	diskCache bool // blocks has a tier on disk

	ctx    context.Context // of everything that goes on between calls
	cancel context.CancelFunc

	staged   atomic.Int64 // bytes of staging files
	streams  atomic.Int64 // sequential readers that have shown themselves as such
	drafts   atomic.Int64
	readers  atomic.Int64
	noCopies atomic.Bool  // the server has shown that it does not copy parts
	clock    atomic.Int64 // counts uses, to tell which reader was used last

	mu      sync.Mutex
	holders map[holder]struct{} // guarded by mu; those that have buffers they could do without
	link    link                // guarded by mu
}

// holder is a Reader or Draft whose buffers can be given up.
type holder interface {
	lastUse() int64 // by Engine.clock
	// shed gives up buffers of about need bytes and returns how many it gave.
	shed(need int64) int64
}

// Stats is what an Engine uses at a moment. Sizes in bytes.
type Stats struct {
	MemoryLimit int64
	MemoryUsed  int64 // lent
	MemoryIdle  int64 // free, and not given back to the system yet
	MemoryPeak  int64 // of used and idle together
	Staged      int64 // on disk
	Readers     int
	Drafts      int
}

// New returns an engine on bucket b. blocks, which may be nil, is used and not
// closed by it.
func New(b s3.Bucket, blocks *cache.Blocks, cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{bucket: b, blocks: blocks, cfg: cfg, log: cfg.Log, holders: map[holder]struct{}{}}
	e.diskCache = blocks != nil && blocks.Stats().Disk.Max > 0
	p, err := newPool(cfg.Memory, e.shed)
	if err != nil {
		return nil, err
	}
	e.pool = p
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// Close ends what is going on and frees the memory. Every Reader must be closed
// and every Draft discarded or saved before; their buffers are reported as an
// error.
func (e *Engine) Close() error {
	e.cancel()
	var errs []error
	if n := e.readers.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d readers are still open", n))
	}
	if n := e.drafts.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d drafts are still open", n))
	}
	return errors.Join(append(errs, e.pool.close())...)
}

// Stats returns what is used now.
func (e *Engine) Stats() Stats {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		MemoryLimit: p.limit,
		MemoryUsed:  p.used[reading] + p.used[writing],
		MemoryIdle:  p.idle,
		MemoryPeak:  p.peak,
		Staged:      e.staged.Load(),
		Readers:     int(e.readers.Load()),
		Drafts:      int(e.drafts.Load()),
	}
}

// holds notes that h has buffers that it could give up, or has none any more.
func (e *Engine) holds(h holder, some bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if some {
		e.holders[h] = struct{}{}
	} else {
		delete(e.holders, h)
	}
}

// ahead returns how many bytes a sequential reader may ask for ahead now: its
// share of three quarters of the memory, so that another one finds some; and in
// how many ranges at once, to be as fast as wanted.
func (e *Engine) ahead(wanted float64) (most int64, width int) {
	readers := max(e.streams.Load(), 1)
	share := (e.pool.limit - e.pool.reserve) * 3 / 4 / readers
	e.mu.Lock()
	width = e.link.width(wanted, e.cfg.Parallel)
	e.mu.Unlock()
	if readers > 1 {
		width = min(width, max(2*e.cfg.Parallel/int(readers), 1))
	}
	return min(e.cfg.MaxWindow, max(share, 2*pieceSize)), width
}

// measured takes in how fast an answer came.
func (e *Engine) measured(n int64, wait, took time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.link.note(n, wait, took)
}
