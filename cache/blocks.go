package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// BlockID names a piece of one version of an object. Index counts pieces of
// BlocksConfig.BlockSize bytes from the object's start.
type BlockID struct {
	Key   string
	ETag  string
	Index int64
}

// BlocksConfig configures [OpenBlocks].
type BlocksConfig struct {
	// BlockSize is the size in bytes of every block but the last of an object.
	// Blocks on disk are only found again under the same BlockSize.
	BlockSize int64

	// Memory bounds the memory tier, bookkeeping included, in bytes. 0 is no
	// memory tier.
	Memory int64

	// Dir is the directory of the disk tier, made if it is missing; "" is no
	// disk tier. Only one process at a time can use it.
	Dir string

	// MaxDisk is how many bytes the disk tier's files may take at any moment.
	MaxDisk int64

	// Scope tells buckets apart in one Dir: the endpoint and the bucket's name,
	// say. A block is only found under the scope that it was stored under.
	Scope string

	// Log hears of trouble with the disk tier. nil is silence.
	Log *slog.Logger
}

// Validate returns what is wrong with the configuration.
func (c BlocksConfig) Validate() error {
	switch {
	case c.BlockSize <= 0:
		return fmt.Errorf("block size of the cache is %d, want a positive number", c.BlockSize)
	case c.Memory < 0:
		return fmt.Errorf("memory of the cache is %d bytes, want a positive number or 0", c.Memory)
	case c.Dir != "" && c.MaxDisk <= 0:
		return fmt.Errorf("largest size of the cache directory is %d bytes, want a positive number", c.MaxDisk)
	case len(c.Scope) > maxNameLength:
		return fmt.Errorf("scope of the cache has %d bytes, want at most %d", len(c.Scope), maxNameLength)
	}
	return nil
}

// BlocksStats counts what a Blocks holds and did.
type BlocksStats struct {
	Hits   uint64 // reads answered from memory
	Misses uint64 // blocks that had to be filled

	MemoryBlocks int
	MemoryBytes  int64 // bookkeeping included

	Disk DiskStats
}

// ErrClosed is what reading after Close returns.
var ErrClosed = errors.New("block cache is closed")

// blockWeight is what a block in memory takes beside its bytes and names, on
// 64-bit machines: three structs and the slots of two maps, each half full.
const blockWeight = 448

// Blocks remembers pieces of object content. It is safe for concurrent use.
type Blocks struct {
	cfg  BlocksConfig
	disk *disk // nil without a disk tier
	wg   sync.WaitGroup

	mu      sync.Mutex
	memory  *order[BlockID, string, []byte] // guarded by mu; grouped by key; the bytes never change
	flights map[BlockID]*flight             // guarded by mu; those that can be joined
	closed  bool                            // guarded by mu
	hits    uint64                          // guarded by mu
	misses  uint64                          // guarded by mu
}

// OpenBlocks opens the cache. With a disk tier it fails with an error that
// wraps [ErrDirUnsafe] or [ErrDirInUse] where the directory may not be used.
// What the directory holds is found in the background, and read meanwhile.
func OpenBlocks(cfg BlocksConfig) (*Blocks, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Blocks{cfg: cfg, memory: newOrder[BlockID, string, []byte](), flights: map[BlockID]*flight{}}
	if cfg.Dir != "" {
		dir, err := openFolder(cfg.Dir)
		if err != nil {
			return nil, err
		}
		b.disk = startDisk(cfg, dir)
	}
	return b, nil
}

// BlockSize returns the size of the blocks in bytes.
func (b *Blocks) BlockSize() int64 { return b.cfg.BlockSize }

// ReadAt copies a block's bytes from offset off on into p. They come from
// memory, else from disk, else from fill; however many ask for a block at the
// same time, fill is called once. It returns fewer bytes than len(p) only at the
// block's end, with a nil error.
//
// The fill that is called may be that of another caller who asked for the same
// block. Its context carries that caller's values, and ends only when nobody
// waits any more or at Close. The cache keeps the slice it returns, which must
// not be changed afterwards. Its error goes to all who wait and is not
// remembered.
//
// Errors are fill's, ctx's, and [ErrClosed]; trouble with the disk tier is not
// among them.
func (b *Blocks) ReadAt(ctx context.Context, id BlockID, p []byte, off int64, fill func(context.Context) ([]byte, error)) (int, error) {
	if off < 0 || off > b.cfg.BlockSize {
		return 0, fmt.Errorf("reading block %d of %s: offset %d is outside of it", id.Index, id.Key, off)
	}
	data, err := b.block(ctx, id, fill)
	if err != nil || off >= int64(len(data)) {
		return 0, err
	}
	return copy(p, data[off:]), nil
}

// Put stores a copy of a block. One that is longer than BlockSize is ignored.
func (b *Blocks) Put(id BlockID, data []byte) {
	b.mu.Lock()
	inMemory := b.memory.contains(id) || b.weight(id, data) > b.cfg.Memory
	b.mu.Unlock()
	onDisk := b.disk == nil || b.disk.has(id)
	if inMemory && onDisk || int64(len(data)) > b.cfg.BlockSize {
		return
	}
	b.keep(id, bytes.Clone(data), !onDisk)
}

// keep stores data, which nobody changes any more.
func (b *Blocks) keep(id BlockID, data []byte, toDisk bool) {
	b.mu.Lock()
	if w := b.weight(id, data); w <= b.cfg.Memory && !b.closed {
		b.memory.add(id, id.Key, data, w)
		for b.memory.bytes > b.cfg.Memory {
			b.memory.removeOldest()
		}
	}
	b.mu.Unlock()
	if toDisk && b.disk != nil {
		b.disk.put(id, data)
	}
}

func (b *Blocks) weight(id BlockID, data []byte) int64 {
	return int64(cap(data)+len(id.Key)+len(id.ETag)) + blockWeight
}

// Has reports whether a block is held, in memory or on disk. It can be gone the
// next moment, and blocks on disk are not known before all of them are found.
func (b *Blocks) Has(id BlockID) bool {
	b.mu.Lock()
	held := b.memory.contains(id)
	b.mu.Unlock()
	return held || b.disk != nil && b.disk.has(id)
}

// Drop forgets the blocks of all versions of a key, to make room. Files of them
// are removed soon; those not found yet, or being stored at the moment, may stay.
func (b *Blocks) Drop(key string) {
	b.mu.Lock()
	for _, id := range b.memory.group(key) {
		b.memory.remove(id)
	}
	b.mu.Unlock()
	if b.disk != nil {
		b.disk.drop(key)
	}
}

// Stats returns the counts so far.
func (b *Blocks) Stats() BlocksStats {
	b.mu.Lock()
	s := BlocksStats{Hits: b.hits, Misses: b.misses, MemoryBlocks: b.memory.len(), MemoryBytes: b.memory.bytes}
	b.mu.Unlock()
	if b.disk != nil {
		s.Disk = b.disk.statistics()
	}
	return s
}

// Close cancels the fills under way, writes what waits to be written to disk,
// and gives the directory up. It returns when all of that is done.
func (b *Blocks) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	for _, f := range b.flights {
		f.cancel()
	}
	b.mu.Unlock()
	b.wg.Wait()
	if closed || b.disk == nil {
		return nil
	}
	return b.disk.close()
}
