package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

func listFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "max-age", Usage: "exit with status 4 if the newest complete one is older than `AGE`, such as 8d"},
		jsonFlag(),
	}
}

func snapshotList(c *cli.Context, open snapshotOpener) error {
	v := &values{c: c}
	maxAge := v.age("max-age")
	if v.err != nil {
		return v.err
	}
	s, err := openReading(c, open, 0, 0)
	if err != nil {
		return err
	}
	list, err := s.store.List(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(s.out, append([]snapshot.Info{}, list...))
	} else if len(list) == 0 {
		s.noteNone(c)
	} else {
		err = printTable(s.out, listRows(list, s.store.Ours))
	}
	if err != nil || maxAge == 0 {
		return err
	}
	return s.tooOld(list, maxAge)
}

// noteNone says where there are no snapshots.
func (s *snapshotSession) noteNone(c *cli.Context) {
	where := cmp.Or(s.cfg.DestName, s.cfg.SourceName)
	if root := s.store.Root(); root != "" {
		where += " below " + root
	}
	notef(c, "there are no snapshots in %s", where)
}

// openReading opens a session for a command that only reads.
func openReading(c *cli.Context, open snapshotOpener, n, m int) (*snapshotSession, error) {
	return openFor(c, func(c *cli.Context, _ bool) (*snapshotSession, error) { return open(c, true) }, n, m)
}

// tooOld checks that a complete snapshot is young enough. One from the future, by
// a wrong clock, would be so for ever.
func (s *snapshotSession) tooOld(list []snapshot.Info, maxAge time.Duration) error {
	newest := time.Time{}
	for _, info := range list {
		if info.State == snapshot.Complete && s.store.Ours(info) && info.Mode != snapshot.Safety && info.Started.After(newest) && info.Started.Sub(s.now()) <= maxAge {
			newest = info.Started
		}
	}
	switch {
	case newest.IsZero():
		return fail(exitNotFound, "there is no complete snapshot")
	case s.now().Sub(newest) > maxAge:
		return fail(exitNotFound, "the newest complete snapshot is of %s", newest.Format(time.RFC3339)).try("cgs3fs snapshot makes one")
	}
	return nil
}

// listRows says whose each snapshot is only where some are of another bucket.
func listRows(list []snapshot.Info, ours func(snapshot.Info) bool) [][]string {
	mixed := slices.ContainsFunc(list, func(i snapshot.Info) bool { return !ours(i) })
	rows := [][]string{{"SNAPSHOT", "STATE", "STARTED", "OBJECTS", "SIZE", "OWN", "KIND", "NOTE"}}
	for _, info := range list {
		rows = append(rows, []string{
			string(info.ID), stateText(info), startedText(info.Started),
			humanize.Comma(info.Objects), humanize.IBytes(uint64(info.Bytes)), humanize.IBytes(uint64(info.OwnBytes)),
			string(info.Mode), noteText(info),
		})
	}
	if mixed {
		rows[0] = slices.Insert(rows[0], 1, "OF")
		for i, info := range list {
			rows[i+1] = slices.Insert(rows[i+1], 1, info.Source)
		}
	}
	return rows
}

// startedText is empty for what left no word of when it began.
func startedText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func stateText(info snapshot.Info) string {
	switch {
	case info.Running:
		return "running"
	case info.Pinned:
		return string(info.State) + ", pinned"
	}
	return string(info.State)
}

func noteText(info snapshot.Info) string {
	var words []string
	if info.Comment != "" {
		words = append(words, info.Comment)
	}
	if len(info.Tags) > 0 {
		words = append(words, "["+strings.Join(info.Tags, ", ")+"]")
	}
	if info.Run != "" {
		words = append(words, info.Run)
	}
	return printable(strings.Join(words, " "))
}

func snapshotShow(c *cli.Context, open snapshotOpener) error {
	s, err := openReading(c, open, 1, 2)
	if err != nil {
		return err
	}
	id, err := s.oneID(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	m, err := s.store.Load(c.Context, id)
	if err != nil {
		return err
	}
	if c.NArg() == 2 {
		return s.printEntries(c, m, c.Args().Get(1))
	}
	if c.Bool("json") {
		return printJSON(s.out, m)
	}
	return s.printManifest(m)
}

func (s *snapshotSession) printManifest(m *snapshot.Manifest) error {
	rows := [][]string{
		{"snapshot", string(m.ID)},
		{"state", stateText(m.Info())},
		{"kind", string(m.Mode)},
		{"of", m.Source.Bucket + " " + m.From},
		{"in", m.Dest.Bucket + " " + m.Dest.Prefix},
		{"started", m.Started.Format(time.RFC3339)},
		{"finished", m.Finished.Format(time.RFC3339)},
		{"holds", objects(m.Objects, m.Bytes)},
		{"of its own", objects(m.Own, m.OwnBytes)},
	}
	if m.Parent != "" {
		rows = append(rows, []string{"parent", string(m.Parent)})
	}
	if note := noteText(m.Info()); note != "" {
		rows = append(rows, []string{"note", note})
	}
	if m.Skipped > 0 {
		rows = append(rows, []string{"lacks", fmt.Sprintf("%d objects that could not be read", m.Skipped)})
	}
	for _, n := range m.Notes {
		rows = append(rows, []string{string(n.Why), printable(n.Key), n.Err})
	}
	return printTable(s.out, rows)
}

// entryJSON is an entry as show and diff print it.
type entryJSON struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	ETag     string    `json:"etag"`
	Modified time.Time `json:"modified"`
	Checksum string    `json:"checksum,omitempty"`
	Class    string    `json:"class,omitempty"`
	Owner    string    `json:"owner,omitempty"`
}

func entryOut(e snapshot.Entry) *entryJSON {
	return &entryJSON{e.Key, e.Size, e.ETag, e.Modified, e.Checksum, e.StorageClass, string(e.Owner)}
}

func (s *snapshotSession) printEntries(c *cli.Context, m *snapshot.Manifest, path string) error {
	n := 0
	for e, err := range s.store.Entries(c.Context, m) {
		switch {
		case err != nil:
			return err
		case e.Key != path && !strings.HasPrefix(e.Key, strings.TrimSuffix(path, "/")+"/") && path != "/":
			continue
		case c.Bool("json"):
			err = printJSON(s.out, entryOut(e))
		default:
			_, err = fmt.Fprintf(s.out, "%s %12d %s\n", e.Modified.Format("2006-01-02 15:04:05"), e.Size, printable(e.Key))
		}
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return fail(exitNotFound, "%s holds nothing at or below %q", m.ID, path)
	}
	return nil
}

func snapshotCat(c *cli.Context, open snapshotOpener) error {
	s, err := openReading(c, open, 2, 2)
	if err != nil {
		return err
	}
	id, err := s.oneID(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	return s.cat(c.Context, id, c.Args().Get(1))
}

func (s *snapshotSession) cat(ctx context.Context, id snapshot.ID, key string) error {
	view, err := s.store.View(ctx, id)
	if err != nil {
		return err
	}
	body, err := view.Get(ctx, key, s3.GetOptions{})
	if errors.Is(err, s3.ErrNotFound) {
		return fmt.Errorf("%w: %s has no object %q", snapshot.ErrNoKey, id, key)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(s.out, body)
	return err
}
