package snapshot

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Format is the first thing a manifest says. The number changes when an older
// program could misread a newer file.
const Format = "cgs3fs-snapshot/1"

// State is where a snapshot is in its life.
type State string

// The states. A manifest never says Incomplete, which is a snapshot without one, nor
// Damaged.
const (
	Incomplete State = "incomplete" // being made, or left by a run that ended early
	Complete   State = "complete"
	Partial    State = "partial"  // exists, but some objects could not be read; Manifest.Skipped counts them
	Deleting   State = "deleting" // no longer exists, and not all of it is removed yet
	Damaged    State = "damaged"  // the manifest can't be read, so that nobody knows what it links to
)

// exists says whether a snapshot can be restored.
func (s State) exists() bool { return s == Complete || s == Partial }

// Mode is how a snapshot was made.
type Mode string

// The modes.
const (
	Full        Mode = "full"
	Incremental Mode = "incremental" // unchanged objects are links
	Adopted     Mode = "adopted"     // copied by another tool, indexed by us
	Safety      Mode = "safety"      // only what a restore was about to change
)

// Manifest is what is known about a snapshot. Its JSON form is manifest.json.
type Manifest struct {
	Format string `json:"format"`
	ID     ID     `json:"id"`
	State  State  `json:"state"`
	Run    string `json:"run"` // of the claim; makes the file different from any other run's
	Tool   string `json:"tool,omitempty"`

	Source  Location  `json:"source"`
	Dest    Location  `json:"dest"`
	From    string    `json:"from,omitempty"` // only keys with this prefix were taken
	Filter  []Pattern `json:"filter,omitempty"`
	LeftOut []string  `json:"left_out,omitempty"` // prefixes of snapshots, of which nothing was taken

	Started  time.Time `json:"started"`
	Listed   time.Time `json:"listed_until"` // every object is as it was between Started and Finished
	Finished time.Time `json:"finished"`

	Mode   Mode     `json:"mode"`
	Parent ID       `json:"parent,omitempty"`
	Copy   CopyPath `json:"copy,omitempty"`

	Objects  int64 `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Own      int64 `json:"own_objects"` // those not linked
	OwnBytes int64 `json:"own_bytes"`

	Changed  int64  `json:"changed_during,omitempty"`
	Vanished int64  `json:"vanished_during,omitempty"`
	Skipped  int64  `json:"skipped,omitempty"`
	Notes    []Note `json:"notes,omitempty"` // the first maxNotes; the segments have all

	Comment string   `json:"note,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Pinned  bool     `json:"pinned,omitempty"` // prune and delete leave it alone

	CORS       []s3.CORSRule      `json:"cors,omitempty"`         // of the source at the time
	UnreadCORS bool               `json:"cors_unknown,omitempty"` // they could not be read
	Versioning s3.VersioningState `json:"versioning,omitempty"`   // of the source at the time

	Segments []SegmentRef `json:"segments"` // in key order
}

// maxNotes keeps a manifest small however badly a run went.
const maxNotes = 1000

// Location is a bucket and a prefix in it.
type Location struct {
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix,omitempty"`
}

// Pattern is an exclude or include in the order given.
type Pattern struct {
	Exclude string `json:"exclude,omitempty"`
	Include string `json:"include,omitempty"`
}

// SegmentRef says which file holds the entries of a span.
type SegmentRef struct {
	Name     string // below the snapshot's control directory
	SHA256   string // of the file, in hex
	After    string
	Through  string // empty is the end of the key space
	Objects  int64
	Bytes    int64
	Own      int64
	OwnBytes int64
	Owners   []ID // of the links in it
}

func (r SegmentRef) span() span { return span{r.After, r.Through} }

type wireRef struct {
	Name     string `json:"key"`
	SHA256   string `json:"sha256"`
	After    anyKey `json:"after"`
	Through  anyKey `json:"through"`
	Objects  int64  `json:"objects"`
	Bytes    int64  `json:"bytes"`
	Own      int64  `json:"own_objects"`
	OwnBytes int64  `json:"own_bytes"`
	Owners   []ID   `json:"owners,omitempty"`
}

// MarshalJSON writes the reference as manifest.json has it.
func (r SegmentRef) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireRef{r.Name, r.SHA256, anyKey(r.After), anyKey(r.Through), r.Objects, r.Bytes, r.Own, r.OwnBytes, r.Owners})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *SegmentRef) UnmarshalJSON(data []byte) error {
	var w wireRef
	err := json.Unmarshal(data, &w)
	*r = SegmentRef{w.Name, w.SHA256, string(w.After), string(w.Through), w.Objects, w.Bytes, w.Own, w.OwnBytes, w.Owners}
	return err
}

// setSegments makes refs, in key order, the manifest's, and counts anew.
func (m *Manifest) setSegments(refs []SegmentRef) {
	m.Segments = refs
	m.Objects, m.Bytes, m.Own, m.OwnBytes = 0, 0, 0, 0
	for _, r := range refs {
		m.Objects += r.Objects
		m.Bytes += r.Bytes
		m.Own += r.Own
		m.OwnBytes += r.OwnBytes
	}
}

// addNotes counts notes and keeps the first of them.
func (m *Manifest) addNotes(notes []Note) {
	for _, n := range notes {
		switch {
		case n.Why == Changed:
			m.Changed++
		case n.Why == Vanished:
			m.Vanished++
		case n.Why.skipped():
			m.Skipped++
		}
	}
	m.Notes = append(m.Notes, notes[:min(len(notes), maxNotes-len(m.Notes))]...)
}

// owners lists the snapshots that m links to.
func (m *Manifest) owners() map[ID]bool {
	ids := map[ID]bool{}
	for _, r := range m.Segments {
		for _, id := range r.Owners {
			ids[id] = true
		}
	}
	return ids
}

// leftOut are the spans that the segments need not cover.
func (m *Manifest) leftOut() []span { return belowAll(m.LeftOut) }

// check says whether a manifest that was read makes sense as that of id.
func (m *Manifest) check(id ID) error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("%w: %s has the format %q, this program reads %q", ErrDamaged, id, m.Format, Format)
	case m.ID != id:
		return fmt.Errorf("%w: the manifest of %s says it is %q", ErrDamaged, id, m.ID)
	case m.State != Complete && m.State != Partial && m.State != Deleting:
		return fmt.Errorf("%w: %s has the state %q", ErrDamaged, id, m.State)
	case m.State == Deleting:
		return nil // an abandoned run never tiled anything
	}
	spans := make([]span, len(m.Segments))
	for i, r := range m.Segments {
		spans[i] = r.span()
	}
	if a, b, found := overlap(spans); found {
		return fmt.Errorf("%w: segments of %s overlap at %q and %q", ErrDamaged, id, a.after, b.after)
	}
	return nil
}
