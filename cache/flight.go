package cache

import (
	"context"
	"fmt"
)

// flight is one block on its way, shared by all who want it.
type flight struct {
	cancel  context.CancelFunc
	waiting int // guarded by Blocks.mu

	done chan struct{} // closed when data and err are set
	data []byte
	err  error
}

// block returns a block's bytes, which nobody may change.
func (b *Blocks) block(ctx context.Context, id BlockID, fill func(context.Context) ([]byte, error)) ([]byte, error) {
	b.mu.Lock()
	if data, ok := b.memory.get(id); ok {
		b.hits++
		b.mu.Unlock()
		return data, nil
	}
	if b.closed {
		b.mu.Unlock()
		return nil, ErrClosed
	}
	f := b.flights[id]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		// It must not end with the caller who happened to be first.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f.cancel = cancel
		b.flights[id] = f
		b.wg.Go(func() { b.fly(ctx, id, f, fill) })
	}
	f.waiting++
	b.mu.Unlock()

	select {
	case <-f.done:
		return f.data, f.err
	case <-ctx.Done():
		b.leave(id, f)
		return nil, ctx.Err()
	}
}

// leave is called by who no longer waits. The last one ends the flight, which
// from then on nobody can join.
func (b *Blocks) leave(id BlockID, f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.waiting--
	if f.waiting == 0 {
		f.cancel()
		b.forget(id, f)
	}
}

// forget makes a flight unknown, unless the block's next one has begun. b.mu is
// held.
func (b *Blocks) forget(id BlockID, f *flight) {
	if b.flights[id] == f {
		delete(b.flights, id)
	}
}

// fly gets a block from disk or by fill. The block is in memory before the
// flight is forgotten, so that nobody starts another in between.
func (b *Blocks) fly(ctx context.Context, id BlockID, f *flight, fill func(context.Context) ([]byte, error)) {
	defer f.cancel()
	onDisk := false
	if b.disk != nil {
		f.data, onDisk = b.disk.read(ctx, id)
	}
	if !onDisk {
		f.data, f.err = b.filled(ctx, id, fill)
	}
	if f.err == nil {
		b.keep(id, f.data, !onDisk)
	}
	b.mu.Lock()
	b.forget(id, f)
	b.mu.Unlock()
	close(f.done)
}

func (b *Blocks) filled(ctx context.Context, id BlockID, fill func(context.Context) ([]byte, error)) ([]byte, error) {
	b.mu.Lock()
	b.misses++
	b.mu.Unlock()
	data, err := fill(ctx)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > b.cfg.BlockSize {
		return nil, fmt.Errorf("filling block %d of %s: got %d bytes, a block has %d", id.Index, id.Key, len(data), b.cfg.BlockSize)
	}
	return data, nil
}
