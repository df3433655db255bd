package snapshot

import (
	"context"
	"sync"
)

// Estimate is what a run would do.
type Estimate struct {
	ID      ID      `json:"id"`
	Existed bool    `json:"existed,omitempty"` // IfMissing: there is nothing to do
	Resume  bool    `json:"resume,omitempty"`  // what an earlier run did is not subtracted
	Objects int64   `json:"objects"`
	Bytes   int64   `json:"bytes"`
	Copies  int64   `json:"copies"` // objects that are not links
	Copied  int64   `json:"copied_bytes"`
	Lists   int64   `json:"list_requests"`
	Writes  int64   `json:"write_requests"` // copies, parts, plans and segments
	Dollars float64 `json:"dollars"`        // for the requests, by S3's public prices
}

// Plan tells what Create would do, writing nothing if the Store is ReadOnly.
func (s *Store) Plan(ctx context.Context, o CreateOptions) (*Estimate, error) {
	c, existing, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		return &Estimate{ID: existing.ID, Existed: true}, nil
	}
	if err := s.checkUnlocked(ctx); err != nil {
		return nil, err
	}
	est := &Estimate{ID: c.id, Resume: c.resumed}
	var mu sync.Mutex
	var failed error
	lister := c.lister()
	lister.emit = func(b batch) {
		ch := c.chunkOf(b)
		err := ch.link(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && failed == nil {
			failed = err
		}
		est.add(ch.seg.ref("", ""), ch.seg.Entries, s.cfg)
	}
	if err := lister.run(ctx, gaps(c.ownSpans())); err != nil {
		return nil, err
	}
	est.Dollars = float64(est.Lists+est.Writes) / 1000 * priceWrite
	return est, failed
}

// add counts a segment: its entries listed twice (before and after), itself and
// its plan, and the copies.
func (e *Estimate) add(ref SegmentRef, entries []Entry, cfg Config) {
	e.Objects += ref.Objects
	e.Bytes += ref.Bytes
	e.Copies += ref.Own
	e.Copied += ref.OwnBytes
	e.Lists += 2 * pages(ref.Objects)
	e.Writes += 2
	for _, entry := range entries {
		if entry.Owner == "" {
			e.Writes += copyRequests(entry.Size, cfg)
		}
	}
}
