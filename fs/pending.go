package fs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// pending is the set of nodes whose attributes changed after the file was
// saved, as rsync and touch do. They wait a moment, because a rename or another
// save often follows and writes them at no extra request. The tree keeps them
// (see tree.hold).
type pending struct {
	writing *opLock // held by a flush, so that whoever flushes next returns when all is written

	mu    sync.Mutex
	nodes map[*node]error // guarded by mu; why they could not be written, if that was tried
	armed bool            // guarded by mu; a flush is on its way
}

const (
	attributeDelay = time.Second      // how long changed attributes wait for a request to ride on
	attributeRetry = 20 * time.Second // and after a failure, which S3's own retries came before
)

// change edits what this mount did to the attributes of a node's version, which
// reach the bucket with the next commit or rename, or by themselves a moment
// later. v is the version that the program saw, at is what n.saved was before it
// looked: what this mount has saved since is the same file.
func (f *FS) change(n *node, v version, at int, edit func(*owned)) {
	n.mu.Lock()
	if n.saves != at && n.own != nil {
		v.etag = n.own.etag
	}
	o := n.ownOf(v)
	edit(o)
	o.dirty = true
	n.mu.Unlock()
	f.pending.add(f, n, nil)
	f.pending.arm(f, f.cfg.attributesWait)
}

func (p *pending) add(f *FS, n *node, why error) {
	p.mu.Lock()
	_, known := p.nodes[n]
	if p.nodes == nil {
		p.nodes = map[*node]error{}
	}
	p.nodes[n] = why
	p.mu.Unlock()
	if !known {
		f.tree.hold(n)
	}
}

// arm lets a flush follow after a while, if none is on its way.
func (p *pending) arm(f *FS, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed {
		return
	}
	p.armed = true
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		select {
		case <-time.After(after):
		case <-f.life.Done():
			return // the unmount flushes
		}
		p.mu.Lock()
		p.armed = false
		p.mu.Unlock()
		if err := p.flush(f.life, f); err != nil {
			f.log.Error("writing attributes", "err", err)
			p.arm(f, attributeRetry)
		}
	}()
}

func (p *pending) take() []*node {
	p.mu.Lock()
	defer p.mu.Unlock()
	nodes := slices.Collect(maps.Keys(p.nodes))
	p.nodes = nil
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return nodes
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.nodes)
}

// failed is the nodes whose attributes could not be written, and why.
func (p *pending) failed() map[*node]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := maps.Clone(p.nodes)
	maps.DeleteFunc(failed, func(_ *node, why error) bool { return why == nil })
	return failed
}

// flush writes the attributes that wait, and returns when those that another
// flush was writing are there as well. It tries every node and returns the
// first error; what could not be written waits on.
func (p *pending) flush(ctx context.Context, f *FS) error {
	if err := p.writing.lock(ctx); err != nil {
		return err
	}
	defer p.writing.unlock()
	var g errgroup.Group
	g.SetLimit(saveParallel)
	for _, n := range p.take() {
		g.Go(func() error {
			defer f.tree.release(n)
			err := f.saveAttributes(ctx, n)
			if err != nil {
				err = fmt.Errorf("attributes of %s: %w", f.tree.path(n), err)
				p.add(f, n, err)
			}
			return err
		})
	}
	return g.Wait()
}
