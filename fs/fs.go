package fs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// Config says what a mount looks like. Zero values work.
type Config struct {
	Prefix string // only keys that begin with it, and without it; "" or ending in "/"

	UID, GID          uint32 // owner of everything, unless metadata says otherwise
	FileMode, DirMode uint32 // permission bits; 0644 and 0755 if zero

	ReadOnly    bool
	AllowOther  bool
	TTL         time.Duration // how old names and sizes in listings may be; 0: always asked
	NegativeTTL time.Duration // the same for names that are not there; at most TTL
	NamesMemory int64         // bytes for remembered names; 16 MiB if zero

	// Posix reads owner, mode and mtime back from the objects' metadata, at the
	// price of a HEAD per object.
	Posix bool

	// ReadAheadFiles opens the small files of a directory ahead of a program that
	// opens one after another. What it reads may be a second old.
	ReadAheadFiles bool

	// ExclusiveAtOpen makes open(O_CREAT|O_EXCL) create the empty object at once,
	// so that the loser among several hosts learns it at open and not at close.
	ExclusiveAtOpen bool

	// Snapshots shows the bucket's snapshots under .snapshots; see SnapshotsPart.
	Snapshots bool

	// Kept returns the prefixes of keys that snapshots in the bucket consist of,
	// as far as they could be near a key; nothing there can be changed. It may be
	// nil. It is asked at every change, and so remembers its answer for a while.
	Kept func(ctx context.Context, key string) ([]string, error)

	// RecoveryDir keeps what could not be saved. It must exist.
	RecoveryDir string

	FSName  string       // the mount's source, as df shows it
	Options []string     // further mount options
	Reload  func() error // asks the source of the credentials again; may be nil
	Report  func() any   // facts for Status that only the caller has; may be nil
	Log     *slog.Logger // slog.DiscardHandler if nil
	Now     func() time.Time

	copyAbove int64 // for tests: copySmallest if 0

	// For tests, in which nothing may change while a machine stands still.
	aheadAge       time.Duration // siblingAge if 0
	attributesWait time.Duration // attributeDelay if 0
}

func (c *Config) defaults() {
	if c.FileMode == 0 {
		c.FileMode = 0o644
	}
	if c.DirMode == 0 {
		c.DirMode = 0o755
	}
	if c.NamesMemory == 0 {
		c.NamesMemory = 16 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FSName == "" {
		c.FSName = "cgs3fs"
	}
	c.copyAbove = cmp.Or(c.copyAbove, copySmallest)
	c.aheadAge = cmp.Or(c.aheadAge, siblingAge)
	c.attributesWait = cmp.Or(c.attributesWait, attributeDelay)
}

// FS is one bucket as a file system. It is safe for concurrent use.
type FS struct {
	fuse.RawFileSystem // ENOSYS for what is not here

	bucket s3.Bucket
	xfer   *transfer.Engine
	cfg    Config
	log    *slog.Logger
	names  *cache.Names[entry]
	tree   *tree
	server *fuse.Server
	dir    string // where it is mounted; empty before Mount

	handles  handles
	unsaved  unsaved
	pending  pending
	walks    walks
	siblings siblings
	failures failures
	rescued  recovered
	rescues  atomic.Int64 // attempts at that; they number the files

	began    time.Time
	patience time.Duration   // how long the end of the mount tries to save
	life     context.Context // ends with the mount
	end      context.CancelFunc
	work     sync.WaitGroup // goroutines of the mount's lifetime
}

// New makes the file system of a bucket. Nothing is requested yet.
func New(bucket s3.Bucket, xfer *transfer.Engine, cfg Config) (*FS, error) {
	cfg.defaults()
	if cfg.RecoveryDir != "" {
		if st, err := os.Stat(cfg.RecoveryDir); err != nil || !st.IsDir() {
			return nil, errors.Join(errors.New("the recovery directory is not there"), err)
		}
	}
	f := &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		bucket:        bucket,
		xfer:          xfer,
		cfg:           cfg,
		log:           cfg.Log,
		names: cache.NewNames[entry](cache.NamesConfig{
			TTL: cfg.TTL, NegativeTTL: cfg.TTL, MaxBytes: cfg.NamesMemory, Now: cfg.Now,
		}),
		tree:     newTree(cfg.Prefix),
		began:    cfg.Now(),
		patience: shutdownWait,
	}
	f.handles.byID = map[uint64]any{}
	f.pending.writing = newOpLock()
	f.life, f.end = context.WithCancel(context.Background())
	return f, nil
}

// String names the file system's type for go-fuse.
func (f *FS) String() string { return "cgs3fs" }
