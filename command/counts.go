package command

import (
	"errors"
	"sync"

	"github.com/cgs3fs/cgs3fs/s3"
)

// requestCounts counts a bucket's requests by kind, for status.
type requestCounts struct {
	mu   sync.Mutex
	byOp map[string]opCount // guarded by mu
}

type opCount struct {
	Requests int64 `json:"requests"`
	Errors   int64 `json:"errors"`
	Bytes    int64 `json:"bytes"`
}

func newRequestCounts() *requestCounts { return &requestCounts{byOp: map[string]opCount{}} }

func (r *requestCounts) add(e s3.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byOp[e.Op]
	c.Requests++
	c.Bytes += e.Bytes
	if e.Err != nil && !errors.Is(e.Err, s3.ErrNotModified) {
		c.Errors++
	}
	r.byOp[e.Op] = c
}

func (r *requestCounts) snapshot() map[string]opCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]opCount, len(r.byOp))
	for op, c := range r.byOp {
		out[op] = c
	}
	return out
}
