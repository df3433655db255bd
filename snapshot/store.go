package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Config says what is copied where, and by whom. Only Source is needed.
type Config struct {
	Source     s3.Bucket
	SourceName string    // recorded, and what a copy into another bucket calls the source
	Dest       s3.Bucket // nil: snapshots are in the source bucket itself
	DestName   string    // recorded
	Prefix     string    // of all snapshots in Dest; empty is "data", "/" is none

	// Direct is Source without s3.Retry, which marks what it writes on a condition
	// in the metadata; objects that are restored must not be marked. nil is Source.
	Direct s3.Bucket

	Now    func() time.Time                           // nil is time.Now
	Sleep  func(context.Context, time.Duration) error // waits between attempts; nil waits in real time
	NewRun func() string                              // a random name for each run; nil is crypto/rand's
	Host   string                                     // for the words to who finds our lease
	PID    int                                        // likewise
	Tool   string                                     // recorded: the program and its version
	Log    *slog.Logger                               // nil: nothing is logged

	ReadOnly bool // write nothing at all, not even to learn the server's time

	SegmentEntries int   // entries in one segment at most; 0 is 5,000
	Listers        int   // parallel listings; 0 is 8
	Parallel       int   // requests in flight at most; 0 is 256
	CopyLimit      int64 // bytes; larger objects are copied in parts; 0 is s3.MaxPartSize
	PartSize       int64 // bytes of such a part at least; 0 is 256 MiB
	StreamPart     int64 // bytes; larger objects are streamed in parts of this; 0 is 8 MiB
	Memory         int64 // bytes of streamed data at a time; 0 is 128 MiB
}

// withDefaults fills in what the zero values stand for.
func (c Config) withDefaults() Config {
	if c.Dest == nil {
		c.Dest, c.DestName = c.Source, c.SourceName
	}
	if c.Direct == nil {
		c.Direct = c.Source
	}
	switch c.Prefix {
	case "":
		c.Prefix = "data"
	case "/":
		c.Prefix = ""
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = pause
	}
	if c.NewRun == nil {
		c.NewRun = rand.Text
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&c.SegmentEntries, 5000}, {&c.Listers, 8}, {&c.Parallel, 256}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int64
		value int64
	}{{&c.CopyLimit, s3.MaxPartSize}, {&c.PartSize, 256 << 20}, {&c.StreamPart, 8 << 20}, {&c.Memory, 128 << 20}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Store is the snapshots below one prefix of a bucket. It is safe for concurrent
// use, also by other processes.
type Store struct {
	cfg     Config
	source  s3.Bucket
	dest    s3.Bucket
	at      layout
	control control // files in dest
	gate    *gate
	budget  *budget
	zips    *zips
	tried   sync.Once // whether the server minds conditions
}

// Open makes a Store. It sends no request.
func Open(cfg Config) (*Store, error) {
	if cfg.Source == nil {
		return nil, errors.New("snapshot: no source bucket")
	}
	cfg = cfg.withDefaults()
	return &Store{
		cfg:     cfg,
		source:  cfg.Source,
		dest:    cfg.Dest,
		at:      newLayout(cfg.Prefix),
		control: control{cfg.Dest},
		gate:    newGate(cfg.Parallel, cfg.Sleep),
		budget:  newBudget(max(cfg.Memory, cfg.StreamPart)),
		zips:    &zips{},
	}, nil
}

// sameBucket says whether snapshots are kept in the bucket they are of.
func (s *Store) sameBucket() bool { return s.source == s.dest }

func (s *Store) newClaim(run, what string) claim {
	return claim{Run: run, Host: s.cfg.Host, PID: s.cfg.PID, What: what, Started: s.cfg.Now().UTC()}
}

// Info is what List tells about a snapshot.
type Info struct {
	ID       ID        `json:"id"`
	State    State     `json:"state"`
	Source   string    `json:"source,omitempty"` // the bucket that it is of
	Mode     Mode      `json:"mode,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Objects  int64     `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Own      int64     `json:"own_objects"`
	OwnBytes int64     `json:"own_bytes"`
	Skipped  int64     `json:"skipped,omitempty"`
	Comment  string    `json:"note,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
	Pinned   bool      `json:"pinned,omitempty"`
	Run      string    `json:"run,omitempty"`     // of an incomplete one: who makes or made it
	Running  bool      `json:"running,omitempty"` // of an incomplete one: its run is alive
}

// Info is what List tells of the snapshot.
func (m *Manifest) Info() Info {
	return Info{
		ID: m.ID, State: m.State, Source: m.Source.Bucket, Mode: m.Mode, Started: m.Started, Finished: m.Finished,
		Objects: m.Objects, Bytes: m.Bytes, Own: m.Own, OwnBytes: m.OwnBytes, Skipped: m.Skipped,
		Comment: m.Comment, Tags: m.Tags, Pinned: m.Pinned,
	}
}

// ids returns the names in use, oldest first, whatever state they are in.
func (s *Store) ids(ctx context.Context) ([]ID, error) {
	return controlIDs(ctx, s.control, s.at)
}

func controlIDs(ctx context.Context, c control, at layout) ([]ID, error) {
	_, dirs, err := c.list(ctx, at.control(), "/")
	if err != nil {
		return nil, fmt.Errorf("listing snapshots: %w", err)
	}
	var ids []ID
	for _, dir := range dirs {
		name := dir[len(at.control()) : len(dir)-1]
		if id, err := ParseID(name); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// List returns all snapshots, oldest first, also those that are incomplete,
// damaged or being deleted.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Info, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.Listers)
	for i, id := range ids {
		group.Go(func() error {
			var err error
			list[i], err = s.info(ctx, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(i Info) bool { return i.ID == "" }), nil
}

// info returns the zero Info if there is nothing of the snapshot any more.
func (s *Store) info(ctx context.Context, id ID) (Info, error) {
	info, _, err := s.look(ctx, id)
	return info, err
}

// look is info with the manifest, nil if there is none.
func (s *Store) look(ctx context.Context, id ID) (Info, *Manifest, error) {
	m, _, err := s.loadAny(ctx, id)
	if errors.Is(err, ErrNoSnapshot) {
		info, err := s.unfinished(ctx, id)
		return info, nil, err
	}
	if errors.Is(err, ErrDamaged) {
		s.cfg.Log.Warn("a snapshot's manifest can't be read", "snapshot", id, "err", err)
		return Info{ID: id, State: Damaged}, nil, nil
	}
	if err != nil {
		return Info{}, nil, err
	}
	return m.Info(), m, nil
}

// unfinished is info of what has no manifest.
func (s *Store) unfinished(ctx context.Context, id ID) (Info, error) {
	c, _, alive, err := s.inspect(ctx, s.at.claim(id))
	if errors.Is(err, s3.ErrNotFound) {
		objects, dirs, err := s.control.list(ctx, s.at.dir(id), "/")
		if err != nil || len(objects)+len(dirs) == 0 {
			return Info{}, err
		}
		return Info{ID: id, State: Incomplete}, nil
	}
	if err != nil {
		return Info{}, fmt.Errorf("looking at the claim of %s: %w", id, err)
	}
	return Info{ID: id, State: Incomplete, Source: c.Source, Started: c.Started, Run: c.String(), Running: alive}, nil
}

// Existing returns those snapshots of a List that can be restored.
func Existing(list []Info) []Info {
	return slices.DeleteFunc(slices.Clone(list), func(i Info) bool { return !i.State.exists() })
}

// Ours says whether a snapshot is of the bucket that the Store is for, as far as
// is known. Several buckets may have theirs in one place.
func (s *Store) Ours(i Info) bool {
	return i.Source == s.cfg.SourceName || i.Source == "" || s.cfg.SourceName == ""
}

// Find returns the ID of the existing snapshot that name means; see [Resolve].
// The latest, and that of yesterday, is of this bucket and not what a restore kept.
func (s *Store) Find(ctx context.Context, name string) (ID, error) {
	if id, err := ParseID(name); err == nil { // usual, and cheaper
		if _, _, err := s.load(ctx, id); !errors.Is(err, ErrNoSnapshot) {
			return id, err
		}
	}
	list, err := s.List(ctx)
	if err != nil {
		return "", err
	}
	var ids []ID
	others := false
	for _, info := range Existing(list) {
		if name != "latest" && name != "yesterday" || info.Mode != Safety && s.Ours(info) {
			ids = append(ids, info.ID)
		}
		others = others || !s.Ours(info)
	}
	if len(ids) == 0 && others {
		return "", fmt.Errorf("%w: none of these is of the bucket %s", ErrNoSnapshot, s.cfg.SourceName)
	}
	return Resolve(name, ids, s.cfg.Now())
}

// Load returns the manifest of an existing snapshot, or ErrNoSnapshot.
func (s *Store) Load(ctx context.Context, id ID) (*Manifest, error) {
	m, _, err := s.load(ctx, id)
	return m, err
}

func (s *Store) load(ctx context.Context, id ID) (*Manifest, string, error) {
	m, etag, err := s.loadAny(ctx, id)
	if err == nil && !m.State.exists() {
		return nil, "", fmt.Errorf("%w: %s is being deleted", ErrNoSnapshot, id)
	}
	return m, etag, err
}

// loadAny reads a manifest in any state; without one it is ErrNoSnapshot.
func (s *Store) loadAny(ctx context.Context, id ID) (*Manifest, string, error) {
	m := &Manifest{}
	etag, err := s.control.readJSON(ctx, s.at.manifest(id), m)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, "", fmt.Errorf("%w %s", ErrNoSnapshot, id)
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifest of %s: %w", id, err)
	}
	return m, etag, m.check(id)
}

// save replaces a manifest that was in the state that etag names; a change in
// between is ErrDiffers.
func (s *Store) save(ctx context.Context, m *Manifest, etag string) (string, error) {
	data, err := encodeJSON(m)
	if err != nil {
		return "", err
	}
	etag, err = s.control.replace(ctx, s.at.manifest(m.ID), data, etag)
	if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
		return "", fmt.Errorf("%w: somebody else changed the manifest of %s meanwhile (%w)", ErrDiffers, m.ID, err)
	}
	return etag, err
}

// Pin protects a snapshot from prune and delete, or ends that.
func (s *Store) Pin(ctx context.Context, id ID, pinned bool) error {
	m, etag, err := s.load(ctx, id)
	if err != nil || m.Pinned == pinned {
		return err
	}
	m.Pinned = pinned
	_, err = s.save(ctx, m, etag)
	return err
}

func emptyBody() io.ReadSeeker { return bytes.NewReader(nil) }
