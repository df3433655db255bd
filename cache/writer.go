package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"time"
)

// run is the goroutine that owns the directory's files. It first finds those of
// earlier runs; blocks that come meanwhile wait in the queue.
func (d *disk) run() {
	d.load()
	for {
		select {
		case q, open := <-d.queue:
			if !open {
				return
			}
			d.store(q)
		case <-d.wake:
			d.makeRoom(0)
		}
	}
}

// found is a file of an earlier run.
type found struct {
	doomed
	used time.Time
}

// load fills the index, in the order in which the files were last used, and
// removes what is over the cap. Names that are not of our making are left alone.
func (d *disk) load() {
	all, err := d.findAll()
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(a.used.Compare(b.used), a.less(b)) })
	d.mu.Lock()
	for _, f := range all {
		d.index.add(f.id, f.id.key, struct{}{}, f.bytes)
		d.used += f.bytes
	}
	if err != nil { // with files that nobody counts, the cap can't be kept
		d.noWrites = d.now().Add(math.MaxInt64)
	}
	d.ready = true
	d.mu.Unlock()
	if err != nil {
		d.fail(fmt.Errorf("looking for files of an earlier run: %w", err), false)
	}
	d.makeRoom(0)
}

// findAll returns the files of earlier runs. On an error there may be more.
func (d *disk) findAll() (all []found, err error) {
	for !d.closing() {
		names, lerr := d.files.list(1000)
		for _, name := range names {
			f, ok, ferr := d.find(name)
			if ok {
				all = append(all, f)
			}
			err = cmp.Or(err, ferr)
		}
		if errors.Is(lerr, io.EOF) {
			break
		}
		if lerr != nil {
			return all, lerr
		}
	}
	return all, err
}

// less orders files of one time in any way that is always the same.
func (f found) less(g found) int { return slices.Compare(f.id.label[:], g.id.label[:]) }

// closing reports whether to stop looking: nobody reads any more, and nothing
// waits to be written.
func (d *disk) closing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed && len(d.queue) == 0
}

// find looks at one file of an earlier run, and has it removed if it was never
// finished or can't be a block.
func (d *disk) find(name string) (found, bool, error) {
	if _, ok := parseFileName(name, tempSuffix); ok {
		return found{}, false, d.files.remove(name)
	}
	id, ok := parseFileName(name, fileSuffix)
	if !ok {
		return found{}, false, nil
	}
	size, used, err := d.files.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a reader found it damaged
		return found{}, false, nil
	case errors.Is(err, errDamaged), err == nil && size < minHeader:
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stats.Damaged++
		d.doom(id, 0)
		return found{}, false, nil
	}
	return found{doomed{id, allocated(size)}, used}, err == nil, err
}

// allocated is what a file of a size takes on disk.
func allocated(size int64) int64 {
	return (size + allocationUnit - 1) / allocationUnit * allocationUnit
}

// store writes one block.
func (d *disk) store(q queued) {
	l := d.label(q.id)
	f := l.fileID()
	d.mu.Lock()
	d.queuedLen -= int64(len(q.data))
	known, aside := d.index.contains(f), d.now().Before(d.noWrites)
	d.mu.Unlock()
	header, ok := l.header(q.data)
	need := allocated(int64(len(header) + len(q.data)))
	if known {
		return
	}
	if aside || !ok || need > d.max || !d.makeRoom(need) {
		d.mu.Lock()
		d.stats.Skipped++
		d.mu.Unlock()
		return
	}
	err := d.files.write(f.String()+fileSuffix, f.String()+tempSuffix, header, q.data)
	d.mu.Lock()
	if err == nil {
		d.index.add(f, f.key, struct{}{}, need)
		d.stats.Stored++
	} else {
		d.used -= need
	}
	d.mu.Unlock()
	if err != nil {
		d.fail(err, false)
	}
}

// makeRoom removes doomed files, then those used least recently, until need
// more bytes fit under the cap, and reserves them. It reports whether that
// worked. Only a file that is gone gives its bytes back.
func (d *disk) makeRoom(need int64) bool {
	for {
		victim, ok := d.victim(need)
		if !ok {
			return true
		}
		if err := d.files.remove(victim.id.String() + fileSuffix); err != nil {
			d.mu.Lock()
			d.doomed = append(d.doomed, victim)
			d.mu.Unlock()
			d.fail(err, false)
			return false
		}
		d.mu.Lock()
		d.used -= victim.bytes
		d.mu.Unlock()
	}
}

// victim returns the next file to remove; without one need bytes are reserved.
func (d *disk) victim(need int64) (doomed, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := len(d.doomed) - 1; last >= 0 {
		v := d.doomed[last]
		d.doomed = d.doomed[:last]
		return v, true
	}
	full := d.used+need > d.max || need > 0 && d.index.len() >= maxFiles || d.index.len() > maxFiles
	if full {
		if id, bytes, ok := d.index.removeOldest(); ok {
			return doomed{id, bytes}, true
		}
	}
	d.used += need
	return doomed{}, false
}
