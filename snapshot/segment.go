package snapshot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// segment is what a snapshot holds in one span, in key order. As a file it is
// gzipped JSON lines: the header, and then an entry on each. The same format
// serves for plans.
type segment struct {
	header
	Entries []Entry
}

// header is the first line of a segment.
type header struct {
	Run    string    `json:"run"` // of the claim it was written under
	After  anyKey    `json:"after"`
	Thru   anyKey    `json:"through"` // empty is the end of the key space
	Listed time.Time `json:"listed"`  // when the span was listed
	Notes  []Note    `json:"notes,omitempty"`
}

func (h header) span() span { return span{after: string(h.After), through: string(h.Thru)} }

// Note is something about one object that a reader of the snapshot should know.
type Note struct {
	Key string
	Why Why
	Err string // what the server said; empty where Why says it all
}

// Why is the kind of a note.
type Why string

// The kinds of notes. The last four left an object out of the snapshot although
// it was there, which makes the snapshot partial.
const (
	Changed  Why = "changed"  // was overwritten during the run; a newer version was copied
	Vanished Why = "vanished" // was deleted during the run, before it was copied
	Denied   Why = "denied"   // may not be read
	Archived Why = "archived" // is in an archive class, must be restored first
	Busy     Why = "busy"     // changed faster than it could be copied
	Unnamed  Why = "unnamed"  // the server's listing can't say its key, and says something else
)

// skipped says whether the note's object is missing from the snapshot.
func (w Why) skipped() bool { return w == Denied || w == Archived || w == Busy || w == Unnamed }

type wireNote struct {
	K   anyKey `json:"k"`
	Why Why    `json:"why"`
	Err string `json:"err,omitempty"`
}

// MarshalJSON writes the note as segments and manifests have it.
func (n Note) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireNote{anyKey(n.Key), n.Why, n.Err})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (n *Note) UnmarshalJSON(data []byte) error {
	var w wireNote
	err := json.Unmarshal(data, &w)
	*n = Note{string(w.K), w.Why, w.Err}
	return err
}

// zips keeps gzip writers for the next segment: each is 1.2 MB.
type zips struct{ pool sync.Pool }

func (z *zips) get(to io.Writer) *gzip.Writer {
	if zip, ok := z.pool.Get().(*gzip.Writer); ok {
		zip.Reset(to)
		return zip
	}
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		panic(err) // only of a level that does not exist
	}
	return zip
}

// encode writes the segment's file. It is the same for the same segment.
func (s *segment) encode(z *zips) ([]byte, error) {
	var file bytes.Buffer
	zip := z.get(&file)
	defer z.pool.Put(zip)
	lines := json.NewEncoder(zip)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(s.header); err != nil {
		return nil, err
	}
	for _, e := range s.Entries {
		if err := lines.Encode(e); err != nil {
			return nil, fmt.Errorf("encoding the entry of %q: %w", e.Key, err)
		}
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

// maxLine holds any line: two keys of 1,024 bytes escaped sixfold, and 1,000
// notes of a header.
const maxLine = 16 << 20

// maxSegment is more than a segment's file unpacks to: 5,000 of the longest
// entries, and the header. A file that somebody made may be a bomb.
const maxSegment = 64 << 20

// decodeSegment reads a segment's file, checking that its entries are in order
// and within its span. Anything else is ErrDamaged.
func decodeSegment(file io.Reader) (*segment, error) {
	zip, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	unpacked := &io.LimitedReader{R: zip, N: maxSegment}
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, maxLine)
	s := &segment{}
	if !lines.Scan() {
		return nil, fmt.Errorf("%w: no header (%w)", ErrDamaged, lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &s.header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrDamaged, err)
	}
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, len(s.Entries)+1, err)
		}
		s.Entries = append(s.Entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if unpacked.N == 0 {
		return nil, fmt.Errorf("%w: a segment of more than %d bytes", ErrDamaged, maxSegment)
	}
	return s, s.check()
}

func (s *segment) check() error {
	last := string(s.After)
	for _, e := range s.Entries {
		if e.Key <= last || !s.span().contains(e.Key) {
			return fmt.Errorf("%w: %q is out of place after %q", ErrDamaged, e.Key, last)
		}
		last = e.Key
	}
	for _, owner := range s.owners() {
		if _, err := ParseID(string(owner)); err != nil {
			return fmt.Errorf("%w: a link leads nowhere: %w", ErrDamaged, err)
		}
	}
	return nil
}

// owners lists the other snapshots that the segment links to, in order.
func (s *segment) owners() []ID {
	var ids []ID
	for _, e := range s.Entries {
		if e.Owner != "" && !slices.Contains(ids, e.Owner) {
			ids = append(ids, e.Owner)
		}
	}
	slices.Sort(ids)
	return ids
}
