package fs

import (
	"cmp"
	"context"
	"errors"
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
	writing *opLock // shared by flushes, so that a sync can wait for those under way

	mu    sync.Mutex
	nodes map[*node]error // guarded by mu; why they could not be written, if that was tried
	busy  map[*node]bool  // guarded by mu; those that a flush is writing: what changes meanwhile waits for that
	next  time.Time       // guarded by mu; when a flush follows; zero if none does
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

// arm lets a flush follow after a while, if none does sooner.
func (p *pending) arm(f *FS, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now().Add(after)
	if !p.next.IsZero() && !at.Before(p.next) {
		return
	}
	p.next = at
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		select {
		case <-time.After(after):
		case <-f.life.Done():
			return // the unmount flushes
		}
		p.mu.Lock()
		turn := p.next == at // otherwise there was one sooner
		if turn {
			p.next = time.Time{}
		}
		p.mu.Unlock()
		if !turn {
			return
		}
		if err := p.flush(f.life, f); err != nil {
			f.log.Error("writing attributes", "err", err)
			p.arm(f, attributeRetry)
		}
	}()
}

// underWay is the nodes that flushes are writing.
func (p *pending) underWay() map[*node]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.busy)
}

// take returns the nodes to write, until done.
func (p *pending) take(of func(*node) bool) []*node {
	p.mu.Lock()
	defer p.mu.Unlock()
	var nodes []*node
	for n := range p.nodes {
		if !p.busy[n] && of(n) {
			nodes = append(nodes, n)
		}
	}
	if p.busy == nil {
		p.busy = map[*node]bool{}
	}
	for _, n := range nodes {
		delete(p.nodes, n)
		p.busy[n] = true
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return nodes
}

// done ends what take began. A flush that came meanwhile has left out the node.
func (p *pending) done(f *FS, n *node) {
	p.mu.Lock()
	delete(p.busy, n)
	why, again := p.nodes[n]
	p.mu.Unlock()
	if again && why == nil {
		p.arm(f, f.cfg.attributesWait)
	}
	f.tree.release(n)
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

// flush writes the attributes that wait. It tries every node and returns the
// first error; what could not be written waits on.
func (p *pending) flush(ctx context.Context, f *FS) error {
	if err := p.writing.share(ctx); err != nil {
		return err
	}
	defer p.writing.unshare()
	return p.write(ctx, f, p.take(func(*node) bool { return true }))
}

// sync is flush that returns when those that another flush was writing are there
// as well, with what it left out because of that.
func (p *pending) sync(ctx context.Context, f *FS) error {
	others := p.underWay()
	failed := p.flush(ctx, f)
	if err := p.writing.lock(ctx); err != nil {
		return errors.Join(failed, fmt.Errorf("waiting for attributes that are being written: %w", err))
	}
	defer p.writing.unlock()
	if failed != nil {
		return failed
	}
	return p.write(ctx, f, p.take(func(n *node) bool { return others[n] }))
}

func (p *pending) write(ctx context.Context, f *FS, nodes []*node) error {
	var g errgroup.Group
	g.SetLimit(saveParallel)
	for _, n := range nodes {
		g.Go(func() error {
			defer p.done(f, n)
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
