package snapshot

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// CreateOptions say what snapshot to make. The zero value is a full one of the
// whole bucket.
type CreateOptions struct {
	From    string    // only keys with this prefix
	Filter  []Pattern // which of them
	Comment string
	Tags    []string

	Incremental bool          // link objects that are unchanged since Parent
	Parent      string        // name of a snapshot; empty is the latest, if there is one
	FullEvery   time.Duration // not if the last full one of the same keys is older; 0 is no limit

	IfMissing   bool // do nothing if there is an existing one of today, of the same keys
	NoResume    bool // begin anew even if the last was interrupted
	Resume      bool // finish the last, however long ago it was interrupted, or make none
	TakeOver    bool // take the claim of a run that seems alive: its machine is known to be gone
	Strict      bool // do not commit a partial one
	AllowPublic bool // although anybody may read the destination

	Progress *Progress // may be nil

	adopt  ID                                                // index what another tool put there; see Store.Adopt
	narrow func(context.Context, batch) ([]s3.Object, error) // takes only some of a batch: a Safety snapshot
	before string                                            // which restore that one is for
}

// digest is the same for runs that may continue each other's work. It is of what
// was asked for, and not of what that means at the time.
func (o CreateOptions) digest(source string) string {
	data, err := json.Marshal([]any{source, o.From, o.Filter, o.Incremental, o.Parent, o.FullEvery, o.adopt, o.before})
	if err != nil {
		panic(err) // only strings
	}
	return sum256(data)
}

// isOf says whether a snapshot is of what is asked for. What a restore kept is
// of nothing but that.
func (o CreateOptions) isOf(m *Manifest, source string) bool {
	return m.Mode != Safety && m.Source.Bucket == source && m.From == o.From && slices.Equal(m.Filter, o.Filter)
}

// Progress counts what a run has done. It may be read at any time.
type Progress struct {
	Listed, ListedBytes atomic.Int64 // found in the source so far
	Copied, CopiedBytes atomic.Int64 // copied by this run
	Kept                atomic.Int64 // found copied by an earlier run that was interrupted
	Linked              atomic.Int64
	Skipped             atomic.Int64
	Phase               atomic.Int32 // one of the Phase… values
	Done                atomic.Bool  // all is listed: Listed is the whole
}

// The phases of a run, in their order.
const (
	PhaseCopying int32 = iota
	PhaseChecking
	PhaseCommitting
)

// Created is what Create did.
type Created struct {
	*Manifest
	Existed  bool // IfMissing: it was there already
	Resumed  bool // it continued an interrupted run
	TagsLost int64
	Copies   int64 // that this run made
}
