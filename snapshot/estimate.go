package snapshot

import (
	"context"
	"sync"
)

// What 1,000 requests cost in US dollars, from S3's price list for us-east-1 and
// class STANDARD; GovCloud asks a little more. Deletions are free.
const priceWrite = 0.005 // PUT, COPY, POST, LIST

// CopyPrice is what copying n objects costs in US dollars, by S3's public prices.
func CopyPrice(n int64) float64 { return float64(n) / 1000 * priceWrite }

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
	const page = 1000
	e.Objects += ref.Objects
	e.Bytes += ref.Bytes
	e.Copies += ref.Own
	e.Copied += ref.OwnBytes
	e.Lists += 2 * ((ref.Objects + page - 1) / page)
	e.Writes += 2
	for _, entry := range entries {
		switch {
		case entry.Owner != "":
		case entry.Size > cfg.CopyLimit:
			e.Writes += 2 + int64(len(parts(entry.Size, cfg.PartSize)))
		default:
			e.Writes++
		}
	}
}
