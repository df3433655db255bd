package cache

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxFiles bounds the index, which takes about 300 bytes a file, where
	// blocks are small: at most 80 MB, and 256 GiB of blocks of 1 MiB.
	maxFiles = 1 << 18

	// maxQueued bounds the bytes that wait to be written. A disk that is slower
	// than the network stores some of what passes by.
	maxQueued = 16 << 20

	// maxDiskReads bounds the files open for reading. More at a time make no
	// disk faster, and descriptors are few.
	maxDiskReads = 8

	// allocationUnit is what a file's size is rounded up to when it is held
	// against the cap: what most file systems allocate.
	allocationUnit = 4 << 10

	// touchAfter spares most reads the update of the file's time, by which the
	// order of use survives a restart.
	touchAfter = 10 * time.Minute

	// retryAfter is how long the tier steps aside after a failure. A disk that
	// was full may have room again.
	retryAfter = time.Minute
)

// DiskStats counts what the disk tier holds and did.
type DiskStats struct {
	Hits     uint64 // blocks read from disk
	Stored   uint64 // blocks written
	Skipped  uint64 // blocks not written: the queue was full or the tier stood aside
	Damaged  uint64 // files removed because they were not what they said
	Failures uint64 // I/O errors, a full disk among them

	Blocks  int
	Bytes   int64 // what the files take, those being written included
	Max     int64 // BlocksConfig.MaxDisk
	Loading bool  // files of an earlier run are still being counted
	Aside   bool  // a failure keeps the tier from writing for now
}

// files is what the disk tier needs of a folder, so that tests can let it fail.
type files interface {
	read(name string, limit int64) (content []byte, used time.Time, err error)
	write(name, temp string, parts ...[]byte) error
	remove(name string) error
	touch(name string, at time.Time) error
	list(n int) ([]string, error)
	stat(name string) (size int64, used time.Time, err error)
	close() error
}

// disk keeps blocks in files. Readers come from anywhere; one goroutine, run,
// makes and removes all files.
type disk struct {
	files     files
	blockSize int64
	scope     string
	max       int64
	log       *slog.Logger
	now       func() time.Time

	queue   chan queued
	reads   chan struct{} // a token for each file open for reading
	wake    chan struct{} // holds one when doomed has grown
	stopped sync.WaitGroup

	mu        sync.Mutex
	index     *order[fileID, keyHash, struct{}] // guarded by mu
	doomed    []doomed                          // guarded by mu; no longer in index, and still on disk
	used      int64                             // guarded by mu; all that is or will in a moment be on disk
	queuedLen int64                             // guarded by mu; bytes in queue
	ready     bool                              // guarded by mu; index knows the files of earlier runs
	closed    bool                              // guarded by mu; nothing is sent to queue any more
	noReads   time.Time                         // guarded by mu; the tier stands aside until then
	noWrites  time.Time                         // guarded by mu
	warned    bool                              // guarded by mu
	stats     DiskStats                         // guarded by mu; only the counters
}

// queued is a block that waits to be written.
type queued struct {
	id   BlockID
	data []byte
}

// doomed is a file to be removed.
type doomed struct {
	id    fileID
	bytes int64
}

// startDisk takes over dir and closes it in close.
func startDisk(cfg BlocksConfig, dir files) *disk {
	d := &disk{
		files: dir, blockSize: cfg.BlockSize, scope: cfg.Scope, max: cfg.MaxDisk, log: cfg.Log.With("dir", cfg.Dir), now: time.Now,
		queue: make(chan queued, 1024), reads: make(chan struct{}, maxDiskReads), wake: make(chan struct{}, 1),
		index: newOrder[fileID, keyHash, struct{}](),
	}
	d.stopped.Go(d.run)
	return d
}

func (d *disk) label(id BlockID) label { return label{scope: d.scope, blockSize: d.blockSize, id: id} }

// has reports whether the index knows a block.
func (d *disk) has(id BlockID) bool {
	f := d.label(id).fileID()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.index.contains(f)
}

// read returns a block if the disk has it unharmed.
func (d *disk) read(ctx context.Context, id BlockID) ([]byte, bool) {
	l := d.label(id)
	f := l.fileID()
	if !d.worthReading(f) {
		return nil, false
	}
	select {
	case d.reads <- struct{}{}:
		defer func() { <-d.reads }()
	case <-ctx.Done():
		return nil, false
	}
	content, used, err := d.files.read(f.String()+fileSuffix, d.blockSize+minHeader+3*maxNameLength)
	var data []byte
	if err == nil {
		var got label
		if got, data, err = parseFile(content); err == nil && got != l {
			err = errDamaged
		}
	}
	if err != nil {
		d.unreadable(f, err)
		return nil, false
	}
	if now := d.now(); now.Sub(used) > touchAfter {
		_ = d.files.touch(f.String()+fileSuffix, now) // costs the block its place at worst
	}
	d.mu.Lock()
	d.stats.Hits++
	d.mu.Unlock()
	return data, true
}

// worthReading reports whether a file may be there; before the index is ready
// any may.
func (d *disk) worthReading(f fileID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now().Before(d.noReads) {
		return false
	}
	_, ok := d.index.get(f)
	return ok || !d.ready
}

// unreadable forgets a file that could not be read, and has it removed: one that
// was missing may have come back meanwhile, and must not stay uncounted.
func (d *disk) unreadable(f fileID, err error) {
	damaged := errors.Is(err, errDamaged)
	if !damaged && !errors.Is(err, fs.ErrNotExist) {
		d.fail(err, true)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if damaged {
		d.stats.Damaged++
	}
	if damaged || d.index.contains(f) {
		d.doom(f, d.index.remove(f))
	}
}

// doom has a file removed that the index no longer has. d.mu is held.
func (d *disk) doom(f fileID, bytes int64) {
	d.doomed = append(d.doomed, doomed{f, bytes})
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// put has a block written some time soon, or not at all. Nobody may change data
// any more.
func (d *disk) put(id BlockID, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := int64(len(data))
	if d.closed || d.queuedLen > 0 && d.queuedLen+n > maxQueued || d.now().Before(d.noWrites) {
		d.stats.Skipped++
		return
	}
	select {
	case d.queue <- queued{id, data}:
		d.queuedLen += n
	default:
		d.stats.Skipped++
	}
}

// drop has the files of a key removed soon.
func (d *disk) drop(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.index.group(hashKey(d.scope, key)) {
		d.doom(f, d.index.remove(f))
	}
}

// fail makes the tier step aside for a while. Whoever wanted something of it
// goes on without.
func (d *disk) fail(err error, reading bool) {
	d.mu.Lock()
	warned := d.warned
	d.warned = true
	d.stats.Failures++
	until := d.now().Add(retryAfter)
	if until.After(d.noWrites) {
		d.noWrites = until
	}
	if reading {
		d.noReads = until
	}
	d.mu.Unlock()
	level := slog.LevelWarn
	if warned {
		level = slog.LevelDebug
	}
	d.log.Log(context.Background(), level, "disk cache steps aside", "for", retryAfter, "err", err)
}

func (d *disk) statistics() DiskStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Blocks, s.Bytes, s.Max, s.Loading = d.index.len(), d.used, d.max, !d.ready
	s.Aside = d.now().Before(d.noWrites)
	return s
}

// close writes what is queued and gives the directory up. No read may be under
// way.
func (d *disk) close() error {
	d.mu.Lock()
	d.closed = true
	close(d.queue)
	d.mu.Unlock()
	d.stopped.Wait()
	return d.files.close()
}
