package transfer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/cgs3fs/cgs3fs/s3"
)

// savedFormat is the version of the sidecar's format.
const savedFormat = 1

// Saved is a draft that was put aside because it could not be committed: a data
// file with the bytes that were here, and beside it a JSON sidecar with all else.
type Saved struct {
	Key        string
	Base       *s3.Object // nil: the content was new
	Size       int64      // bytes of the whole content
	Local      int64      // bytes of it in the data file
	UploadID   string     // of an upload that has more of it; empty if there is none
	Time       time.Time
	Extra      json.RawMessage
	DataPath   string
	sequential bool
	baseEnd    int64
	extents    ranges
	upload     *sidecarUpload
	partSize   int64
}

// sidecar is Saved as JSON.
type sidecar struct {
	Format     int             `json:"format"`
	Time       time.Time       `json:"time"`
	Key        text            `json:"key"`
	BaseKey    text            `json:"baseKey"`
	Base       *s3.Object      `json:"base,omitempty"` // its key is BaseKey
	BaseEnd    int64           `json:"baseEnd"`
	Size       int64           `json:"size"`
	Sequential bool            `json:"sequential"`
	PartSize   int64           `json:"partSize"`
	Data       string          `json:"data"`    // the data file's name, in the sidecar's directory
	Extents    [][2]int64      `json:"extents"` // begin and end of what the data file has, at these offsets
	Upload     *sidecarUpload  `json:"upload,omitempty"`
	Extra      json.RawMessage `json:"extra,omitempty"`
}

// sidecarUpload names an upload in the bucket and what only it has.
type sidecarUpload struct {
	ID      string        `json:"id"`
	Key     text          `json:"key"`
	Options s3.PutOptions `json:"options"`
	Away    [][2]int64    `json:"away"`
	Parts   []s3.Part     `json:"parts"`
}

// text is a string that JSON may not be able to hold: keys can be any bytes.
type text string

func (s text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal(struct{ Base64 []byte }{[]byte(s)})
}

func (s *text) UnmarshalJSON(p []byte) error {
	if len(p) > 0 && p[0] == '{' {
		var raw struct{ Base64 []byte }
		err := json.Unmarshal(p, &raw)
		*s = text(raw.Base64)
		return err
	}
	return json.Unmarshal(p, (*string)(s))
}

// Save puts the draft aside under dir, which must exist, as name.data and
// name.json, with extra as JSON, and ends it. key is where it belongs now; empty
// is what it was made for. An upload that was under way stays in the bucket, for
// Restore. On an error there are no files and the draft goes on.
func (d *Draft) Save(dir, name, key string, extra any) error {
	if err := d.lock(context.Background()); err != nil {
		return err
	}
	defer d.unlock()
	d.cancel() // what is on its way is here still
	d.wg.Wait()
	d.ctx, d.cancel = context.WithCancel(d.e.ctx)
	side, err := d.sidecar(name+".data", key, extra)
	if err != nil {
		return fmt.Errorf("saving %s: %w", d.name(), err)
	}
	data := filepath.Join(dir, side.Data)
	if err := d.saveData(data); err != nil {
		return fmt.Errorf("saving %s: %w", d.name(), errors.Join(err, removeIfThere(data)))
	}
	path := filepath.Join(dir, name+".json")
	if err := writeSidecar(path, side); err != nil {
		return fmt.Errorf("saving %s: %w", d.name(), errors.Join(err, removeIfThere(path), removeIfThere(data)))
	}
	d.cancel()
	d.end()
	return nil
}

// sidecar describes the draft. The turn must be held.
func (d *Draft) sidecar(data, key string, extra any) (sidecar, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	side := sidecar{
		Format: savedFormat, Time: time.Now().UTC(),
		Key: text(cmp.Or(key, d.key)), Base: d.base, BaseEnd: d.baseEnd, Size: d.size,
		Sequential: d.o.Sequential, PartSize: d.grid.first,
		Data: data, Extents: pairs(union(d.local.mem, d.local.disk)),
	}
	if d.base != nil {
		side.BaseKey = text(d.base.Key)
	}
	if s := d.stream; s != nil {
		side.Upload = &sidecarUpload{ID: s.up.ID(), Key: text(s.key), Options: s.o, Away: pairs(s.away), Parts: s.up.Parts()}
	}
	if extra != nil {
		var err error
		if side.Extra, err = json.Marshal(extra); err != nil {
			return side, err
		}
	}
	return side, nil
}

// saveData makes the data file, of the staging file where that is possible.
func (d *Draft) saveData(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.local
	if l.file != nil && !l.file.frozen && l.spill(nil) == nil && linkStage(l.file.File, path) == nil {
		return l.file.Sync()
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for _, s := range union(l.mem, l.disk) {
		b := l.body(s.off, s.end)
		_, err = io.Copy(io.NewOffsetWriter(f, s.off), b)
		b.release()
		if err != nil {
			return errors.Join(full(err), f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeSidecar makes the sidecar all at once.
func writeSidecar(path string, side sidecar) error {
	p, err := json.MarshalIndent(side, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := removeIfThere(tmp); err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(p, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// LoadSaved reads the sidecar at path, name.json, that Save wrote.
func LoadSaved(path string) (*Saved, error) {
	p, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var side sidecar
	if err := json.Unmarshal(p, &side); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := side.check(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	s := &Saved{
		Key: string(side.Key), Base: side.Base, Size: side.Size, Time: side.Time, Extra: side.Extra,
		DataPath:   filepath.Join(filepath.Dir(path), side.Data),
		sequential: side.Sequential, baseEnd: side.BaseEnd, partSize: side.PartSize, upload: side.Upload,
	}
	if s.Base != nil {
		s.Base.Key = string(side.BaseKey)
	}
	if s.upload != nil {
		s.UploadID = s.upload.ID
	}
	if s.extents, err = unpair(side.Extents, side.Size); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	s.Local = s.extents.size()
	return s, nil
}

// check finds what no draft has.
func (side *sidecar) check() error {
	switch {
	case side.Format != savedFormat:
		return fmt.Errorf("format %d is not known, only %d", side.Format, savedFormat)
	case !filepath.IsLocal(side.Data) || filepath.Base(side.Data) != side.Data || side.Data == ".":
		return fmt.Errorf("data file %q is not beside it: %w", side.Data, s3.ErrCorrupt)
	case side.Size < 0, side.BaseEnd < 0, side.BaseEnd > side.Size, side.PartSize < 1,
		side.Base == nil && side.BaseEnd > 0, side.Base != nil && side.BaseEnd > side.Base.Size:
		return fmt.Errorf("%d bytes, %d of them of the base, parts of %d: %w", side.Size, side.BaseEnd, side.PartSize, s3.ErrCorrupt)
	}
	return nil
}

// Restore makes a draft of a saved one. It reads the data file until it ends,
// and never changes it: remove the files after a Commit that succeeded. An
// upload that was completed without our knowing is recognised, see Landed. If
// parts of the content are gone from the bucket it returns a LostError.
func (e *Engine) Restore(s *Saved) (*Draft, error) {
	f, err := os.OpenFile(s.DataPath, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	d := e.NewDraft(s.Key, s.Base, DraftOptions{Sequential: s.sequential})
	d.restored = true
	d.grid.first = s.partSize
	d.size, d.baseEnd, d.dirty = s.Size, s.baseEnd, true
	d.local.file = &stageFile{File: f, frozen: true}
	for _, x := range s.extents {
		d.local.onDisk(x.off, x.end)
	}
	if err := errors.Join(d.checkData(), d.resume(s.upload)); err != nil {
		return nil, errors.Join(fmt.Errorf("restoring %s: %w", s.Key, err), d.Discard(context.Background()))
	}
	return d, nil
}

// checkData finds a data file that was cut.
func (d *Draft) checkData() error {
	st, err := d.local.file.Stat()
	if err != nil {
		return err
	}
	if n := len(d.local.disk); n > 0 && st.Size() < d.local.disk[n-1].end {
		return fmt.Errorf("%s has %d bytes, not %d: %w", d.local.file.Name(), st.Size(), d.local.disk[n-1].end, s3.ErrCorrupt)
	}
	return nil
}

// resume picks up the upload of a saved draft.
func (d *Draft) resume(u *sidecarUpload) error {
	if u == nil {
		return nil
	}
	away, err := unpair(u.Away, d.size)
	if err != nil {
		return err
	}
	up, err := d.e.bucket.ResumeUpload(d.ctx, string(u.Key), u.ID, u.Options)
	if errors.Is(err, s3.ErrNoUpload) {
		return d.uploadGone(u, away)
	}
	if err != nil {
		return err
	}
	s := &outflow{up: up, key: string(u.Key), o: u.Options, next: 2, away: away, landed: make(chan struct{})}
	var there ranges
	for _, p := range up.Parts() {
		s.highest = max(s.highest, p.Number)
		at := d.grid.span(p.Number)
		there.add(at.off, at.off+p.Size)
	}
	lost := slices.Clone(away)
	for _, x := range there {
		lost.remove(x.off, x.end)
	}
	if len(lost) > 0 {
		return &LostError{Bytes: lost.size(), Size: d.size}
	}
	d.stream = s
	return nil
}

func pairs(r ranges) [][2]int64 {
	out := make([][2]int64, len(r))
	for i, s := range r {
		out[i] = [2]int64{s.off, s.end}
	}
	return out
}

func unpair(p [][2]int64, size int64) (ranges, error) {
	var r ranges
	for _, s := range p {
		if s[0] < 0 || s[1] < s[0] || s[1] > size {
			return nil, fmt.Errorf("bytes %d to %d of %d: %w", s[0], s[1], size, s3.ErrCorrupt)
		}
		r.add(s[0], s[1])
	}
	return r, nil
}
