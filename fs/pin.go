package fs

import (
	"context"
	"slices"
)

// pin holds directories where they are: no directory at or above the pinned
// node is renamed until release.
type pin struct {
	t     *tree
	key   string // of the pinned node
	chain []*node
}

// pin fixes the key of a node. It waits for a rename under way, or until ctx
// ends. The pin is nil if the node's name is gone.
func (t *tree) pin(ctx context.Context, n *node) (*pin, error) {
	pins, err := t.pinAll(ctx, n)
	if pins == nil {
		return nil, err
	}
	return pins[0], nil
}

// pinAll fixes the keys of several nodes in one step: who held one pin while he
// waits for another would keep the rename that he waits for from ending. It
// returns none if one of the names is gone.
func (t *tree) pinAll(ctx context.Context, nodes ...*node) ([]*pin, error) {
	defer t.wakeWith(ctx)()
	t.mu.Lock()
	defer t.mu.Unlock()
	for slices.ContainsFunc(nodes, movingAbove) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.moved.Wait()
	}
	for _, n := range nodes {
		if _, ok := n.keyLocked(); !ok {
			return nil, nil
		}
	}
	pins := make([]*pin, len(nodes))
	for i, n := range nodes {
		pins[i] = t.pinLocked(n)
	}
	return pins, nil
}

func (t *tree) pinLocked(n *node) *pin {
	key, _ := n.keyLocked()
	p := &pin{t: t, key: key}
	for ; n != nil; n = n.parent {
		n.pins++
		p.chain = append(p.chain, n)
	}
	return p
}

func (p *pin) release() {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for _, n := range p.chain {
		n.pins--
		p.t.dropLocked(n)
	}
	p.t.moved.Broadcast()
}

func movingAbove(n *node) bool {
	for ; n != nil; n = n.parent {
		if n.moving {
			return true
		}
	}
	return false
}

// wakeWith makes those who wait for moved look again when ctx ends.
func (t *tree) wakeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.moved.Broadcast()
	})
}

// beginMove keeps new pins out of a directory and waits for the old ones. The
// caller has pinned the directory that it is in: a move further up that has
// begun waits for that pin, and so must not be waited for.
func (t *tree) beginMove(ctx context.Context, n *node) error {
	defer t.wakeWith(ctx)()
	t.mu.Lock()
	defer t.mu.Unlock()
	for n.moving {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.moved.Wait()
	}
	n.moving = true
	for n.pins > 0 {
		if err := ctx.Err(); err != nil {
			n.moving = false
			t.moved.Broadcast()
			return err
		}
		t.moved.Wait()
	}
	return nil
}

func (t *tree) endMove(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.moving = false
	t.moved.Broadcast()
}
