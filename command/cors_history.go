package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/cors"
)

// corsChange is one change of a bucket's rules as it is kept for undo.
type corsChange struct {
	Time   time.Time
	Op     string // the command's name
	Undoes string // the name of the change that an undo took back
	Before []cors.Rule
	After  []cors.Rule

	name string // of its file
}

// corsHistory is the directory that keeps the changes made on this machine to
// one bucket's rules, one file each, never changed again:
// $XDG_STATE_HOME/cgs3fs/cors/BUCKET/SERVER/TIME.json. Only its owner can read
// it; origins say who uses a bucket.
type corsHistory struct{ dir string }

// newCORSHistory names the directory below the program's state; it is made by
// the first save. Buckets of the same name on different servers are different
// buckets.
func newCORSHistory(state, bucket, server string) corsHistory {
	return corsHistory{filepath.Join(state, "cors", safeName(bucket), safeName(server))}
}

// safeName makes one path element of a name: what isn't harmless is written
// as %XX, a leading dot too.
func safeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// corsChangeFile is the form of a file. Rules are in the form of aws s3api, so
// that a person can put them back without this program.
type corsChangeFile struct {
	Time   time.Time       `json:"time"`
	Op     string          `json:"op"`
	Undoes string          `json:"undoes,omitempty"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// save keeps c, on the disk before it returns. forget takes it out again.
func (h corsHistory) save(c corsChange) (forget func(), err error) {
	if _, err := privateDir(h.dir); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(corsChangeFile{
		c.Time.UTC(), c.Op, c.Undoes, cors.JSON(c.Before), cors.JSON(c.After),
	}, "", "    ")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(h.dir, c.Time.UTC().Format("20060102T150405.000000000Z")+".json")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	forget = func() { os.Remove(path) }
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		forget()
		return nil, err
	}
	return forget, nil
}

// last returns the newest change that no undo took back; ok is false if there
// is none. An undo itself is not one.
func (h corsHistory) last() (c corsChange, ok bool, err error) {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return corsChange{}, false, nil
	}
	if err != nil {
		return corsChange{}, false, err
	}
	undone := map[string]bool{}
	for _, e := range slices.Backward(entries) { // sorted by name, that is by time
		if filepath.Ext(e.Name()) != ".json" || undone[e.Name()] {
			continue
		}
		c, err := h.load(e.Name())
		if err != nil {
			return corsChange{}, false, err
		}
		if c.Undoes == "" {
			return c, true, nil
		}
		undone[c.Undoes] = true
	}
	return corsChange{}, false, nil
}

func (h corsHistory) load(name string) (corsChange, error) {
	path := filepath.Join(h.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return corsChange{}, err
	}
	var f corsChangeFile
	if err := json.Unmarshal(data, &f); err != nil {
		return corsChange{}, fmt.Errorf("reading %s: %w", path, err)
	}
	before, err := cors.Parse(f.Before)
	if err != nil {
		return corsChange{}, fmt.Errorf("reading %s: before: %w", path, err)
	}
	after, err := cors.Parse(f.After)
	if err != nil {
		return corsChange{}, fmt.Errorf("reading %s: after: %w", path, err)
	}
	return corsChange{Time: f.Time, Op: f.Op, Undoes: f.Undoes, Before: before, After: after, name: name}, nil
}
