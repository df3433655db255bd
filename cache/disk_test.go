package cache

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// The tests run in synctest bubbles, where synctest.Wait returns when the disk
// tier has nothing left to do.

func diskConfig(dir string) BlocksConfig {
	return BlocksConfig{BlockSize: testBlockSize, Dir: dir, MaxDisk: 1 << 20}
}

// openWrapped opens a cache whose disk tier sees its directory through wrap.
func openWrapped(t testing.TB, cfg BlocksConfig, wrap func(files) files) *Blocks {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := openFolder(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	inMemory := cfg
	inMemory.Dir = ""
	b := openTestBlocks(t, inMemory)
	b.disk = startDisk(cfg, wrap(dir))
	return b
}

func closeBlocks(t testing.TB, b *Blocks) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// pathOf is the file of a block.
func pathOf(b *Blocks, id BlockID) string {
	return filepath.Join(b.cfg.Dir, b.disk.label(id).fileID().String()+fileSuffix)
}

// stored opens a cache in a new directory and has it store blocks.
func stored(t testing.TB, ids ...BlockID) *Blocks {
	t.Helper()
	b := openTestBlocks(t, diskConfig(t.TempDir()))
	for _, id := range ids {
		b.Put(id, content(id))
	}
	synctest.Wait()
	if s := b.Stats().Disk; s.Blocks != len(ids) || s.Loading {
		t.Fatalf("Stats = %+v, want %d blocks", s, len(ids))
	}
	return b
}

func TestBlocksSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(filepath.Join(t.TempDir(), "made", "if", "missing"))
		b := openTestBlocks(t, cfg)
		b.Put(block(1), content(block(1)))
		wantBlock(t, b, block(2), fillOf(block(2)))
		closeBlocks(t, b) // writes what is queued
		b = openTestBlocks(t, cfg)
		wantBlock(t, b, block(1), noFill) // perhaps before the index is ready
		synctest.Wait()
		if !b.Has(block(1)) || !b.Has(block(2)) || b.Has(block(3)) {
			t.Error("Has does not fit what is on disk")
		}
		wantBlock(t, b, block(2), noFill)
		want := DiskStats{Hits: 2, Blocks: 2, Bytes: 2 * allocationUnit, Max: cfg.MaxDisk}
		if s := b.Stats().Disk; s != want {
			t.Errorf("Stats = %+v, want %+v", s, want)
		}
	})
}

func TestBlocksOfOtherScopesAndSizesAreNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1))
		closeBlocks(t, b)
		for _, change := range []func(*BlocksConfig){
			func(c *BlocksConfig) { c.Scope = "other" },
			func(c *BlocksConfig) { c.BlockSize++ },
		} {
			cfg := b.cfg
			change(&cfg)
			b := openTestBlocks(t, cfg)
			for _, id := range []BlockID{block(1), {"dir/key", "other", 1}, {"other", `"etag"`, 1}, block(0)} {
				if _, err := b.ReadAt(t.Context(), id, nil, 0, noFill); !errors.Is(err, errAsked) {
					t.Errorf("%+v: reading %v: %v, want a fill", cfg, id, err)
				}
			}
			closeBlocks(t, b)
		}
	})
}

func TestDropRemovesFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := BlockID{Key: "other"}
		b := stored(t, block(1), block(2), BlockID{Key: block(1).Key, ETag: "2"}, other)
		b.Drop(block(1).Key)
		synctest.Wait()
		names, err := filepath.Glob(b.cfg.Dir + "/*" + fileSuffix)
		if err != nil || len(names) != 1 {
			t.Errorf("%d files remain, want 1 (%v)", len(names), err)
		}
		if s := b.Stats().Disk; s.Blocks != 1 || s.Bytes != allocationUnit {
			t.Errorf("Stats = %+v, want one block", s)
		}
		wantBlock(t, b, other, noFill)
	})
}

// wantHealed has something wrong with the file of block 1, and wants the block
// filled, the file removed and counted, and a good one in its place.
func wantHealed(t *testing.T, b *Blocks, what string) {
	t.Helper()
	before := b.Stats()
	wantBlock(t, b, block(1), fillOf(block(1)))
	synctest.Wait()
	s := b.Stats()
	if s.Misses != before.Misses+1 || s.Disk.Damaged != before.Disk.Damaged+1 || s.Disk.Failures != 0 {
		t.Errorf("%s: Stats = %+v, before %+v; want one more miss and one more damaged", what, s, before)
	}
	wantBlock(t, b, block(1), noFill)
	if s := b.Stats().Disk; s.Bytes != int64(s.Blocks)*allocationUnit {
		t.Errorf("%s: %d bytes for %d blocks", what, s.Bytes, s.Blocks)
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1))
		path := pathOf(b, block(1))
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			writeFile(t, path, bad)
			wantHealed(t, b, fmt.Sprintf("byte %d flipped", i))
		}
	})
}

func TestEveryWrongLengthIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1))
		path := pathOf(b, block(1))
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range good {
			writeFile(t, path, good[:n])
			wantHealed(t, b, fmt.Sprintf("cut to %d bytes", n))
		}
		writeFile(t, path, append(good, 0))
		wantHealed(t, b, "a byte appended")
		if err := os.Truncate(path, 1<<40); err != nil {
			t.Fatal(err)
		}
		wantHealed(t, b, "grown beyond all bounds")
	})
}

func TestForeignFilesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1), block(2))
		path := pathOf(b, block(1))
		secret := filepath.Join(t.TempDir(), "secret")
		writeFile(t, secret, []byte("keep me"))
		for what, plant := range map[string]func() error{
			"another block": func() error { return os.Link(pathOf(b, block(2)), path) },
			"a symlink":     func() error { return os.Symlink(secret, path) },
			"a good file behind a symlink": func() error {
				return os.Symlink(filepath.Base(pathOf(b, block(2))), path)
			},
			"a pipe": func() error { return unix.Mkfifo(path, 0o600) },
		} {
			if err := errors.Join(os.Remove(path), plant()); err != nil {
				t.Fatal(err)
			}
			wantHealed(t, b, what)
		}
		if got, err := os.ReadFile(secret); string(got) != "keep me" {
			t.Errorf("the file behind the link: %q, %v", got, err)
		}
	})
}

func TestStartRemovesOnlyWhatIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1), block(2), block(3))
		one, two, temp := pathOf(b, block(1)), pathOf(b, block(2)), strings.TrimSuffix(pathOf(b, block(3)), fileSuffix)+tempSuffix
		closeBlocks(t, b)
		left := []string{"notes.txt", "x.block", filepath.Base(one) + "~", strings.ToUpper(filepath.Base(one))}
		for _, name := range left {
			writeFile(t, filepath.Join(b.cfg.Dir, name), []byte("mine"))
		}
		writeFile(t, temp, content(block(3)))
		if err := errors.Join(os.Truncate(one, 3), os.Remove(two), os.Symlink("notes.txt", two)); err != nil {
			t.Fatal(err)
		}
		b = openTestBlocks(t, b.cfg)
		synctest.Wait()
		want := DiskStats{Damaged: 2, Blocks: 1, Bytes: allocationUnit, Max: b.cfg.MaxDisk}
		if s := b.Stats().Disk; s != want {
			t.Errorf("Stats = %+v, want %+v", s, want)
		}
		for _, path := range []string{one, two, temp} {
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there (%v)", path, err)
			}
		}
		for _, name := range left {
			if got, err := os.ReadFile(filepath.Join(b.cfg.Dir, name)); string(got) != "mine" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}

func TestFilesThatVanishAreMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1), block(2))
		if err := os.Remove(pathOf(b, block(1))); err != nil {
			t.Fatal(err)
		}
		wantBlock(t, b, block(1), fillOf(block(1)))
		synctest.Wait()
		wantBlock(t, b, block(1), noFill)
		if s := b.Stats().Disk; s.Failures+s.Damaged != 0 || s.Bytes != 2*allocationUnit {
			t.Errorf("Stats = %+v, want two blocks and no trouble", s)
		}
	})
}

// capped fails the test if the directory is ever over its cap.
type capped struct {
	files
	t   testing.TB
	dir string
	max int64
}

func (c capped) write(name, temp string, parts ...[]byte) error {
	need := int64(0)
	for _, p := range parts {
		need += int64(len(p))
	}
	if on := sizeOf(c.t, c.dir); on+allocated(need) > c.max {
		c.t.Errorf("writing %d bytes beside %d, with %d allowed", need, on, c.max)
	}
	return c.files.write(name, temp, parts...)
}

func sizeOf(t testing.TB, dir string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.block*")
	if err != nil {
		t.Error(err)
	}
	for _, name := range names {
		if i, err := os.Stat(name); err == nil {
			sum += allocated(i.Size())
		}
	}
	return sum
}

func TestDiskIsNeverOverItsCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.MaxDisk = 10*allocationUnit + 17
		b := openWrapped(t, cfg, func(f files) files { return capped{f, t, cfg.Dir, cfg.MaxDisk} })
		for i := range 100 {
			b.Put(block(i), content(block(i)))
			synctest.Wait()
			wantBlock(t, b, block(0), noFill) // used, so it stays
			if i%10 == 5 {
				b.Drop("none")
				b.Put(BlockID{Key: "dropped"}, nil)
				synctest.Wait()
				b.Drop("dropped") // removed while others are stored
			}
		}
		if s := b.Stats().Disk; s.Blocks != 10 || s.Bytes != sizeOf(t, cfg.Dir) {
			t.Errorf("Stats = %+v, want 10 blocks and %d bytes", s, sizeOf(t, cfg.Dir))
		}
		closeBlocks(t, b)

		cfg.MaxDisk = 3 * allocationUnit // lowered between two runs
		b = openWrapped(t, cfg, func(f files) files { return capped{f, t, cfg.Dir, cfg.MaxDisk} })
		synctest.Wait()
		if n := sizeOf(t, cfg.Dir); n != cfg.MaxDisk {
			t.Errorf("%d bytes on disk after lowering the cap to %d", n, cfg.MaxDisk)
		}
		b.Put(block(200), content(block(200)))
		synctest.Wait()
		wantBlock(t, b, block(200), noFill)
	})
}

func TestBlockLargerThanTheCapIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.MaxDisk = 100
		b := openTestBlocks(t, cfg)
		b.Put(block(1), content(block(1)))
		synctest.Wait()
		if s := b.Stats().Disk; s.Blocks != 0 || s.Skipped != 1 || s.Failures != 0 {
			t.Errorf("Stats = %+v, want one skipped", s)
		}
	})
}

func TestOrderOfUseSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(0), block(1), block(2))
		for i := range 3 {
			old := time.Now().Add(time.Duration(i-10) * time.Hour)
			if err := os.Chtimes(pathOf(b, block(i)), old, old); err != nil {
				t.Fatal(err)
			}
		}
		wantBlock(t, b, block(0), noFill)
		closeBlocks(t, b)
		b.cfg.MaxDisk = 2 * allocationUnit
		b = openTestBlocks(t, b.cfg)
		synctest.Wait()
		wantBlock(t, b, block(0), noFill)
		wantBlock(t, b, block(2), noFill)
		if b.Has(block(1)) {
			t.Error("the block used least recently is still there")
		}
	})
}

// failing is a directory that can be told to fail.
type failing struct {
	files
	reads, writes, removes, lists, stats atomic.Pointer[error]
}

func failWith(p *atomic.Pointer[error], err error) { p.Store(&err) }

func failure(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *failing) read(name string, limit int64) ([]byte, time.Time, error) {
	if err := failure(&f.reads); err != nil {
		return nil, time.Time{}, err
	}
	return f.files.read(name, limit)
}

func (f *failing) write(name, temp string, parts ...[]byte) error {
	if err := failure(&f.writes); err != nil {
		return err
	}
	return f.files.write(name, temp, parts...)
}

func (f *failing) remove(name string) error {
	if err := failure(&f.removes); err != nil {
		return err
	}
	return f.files.remove(name)
}

func (f *failing) list(n int) ([]string, error) {
	names, err := f.files.list(n)
	return names, errors.Join(failure(&f.lists), err)
}

func (f *failing) stat(name string) (int64, time.Time, error) {
	if err := failure(&f.stats); err != nil {
		return 0, time.Time{}, err
	}
	return f.files.stat(name)
}

func openFailing(t *testing.T, log *bytes.Buffer) (*Blocks, *failing) {
	t.Helper()
	f := &failing{}
	cfg := diskConfig(t.TempDir())
	cfg.MaxDisk = 2 * allocationUnit
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	return openWrapped(t, cfg, func(inner files) files { f.files = inner; return f }), f
}

func TestFullDiskStepsAsideAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b, f := openFailing(t, &log)
		b.Put(block(0), content(block(0)))
		synctest.Wait()
		failWith(&f.writes, unix.ENOSPC)
		for i := range 20 {
			wantBlock(t, b, block(i), fillOf(block(i)))
			synctest.Wait()
			if i == 10 {
				time.Sleep(retryAfter)
			}
		}
		wantBlock(t, b, block(0), noFill) // what is there is still read
		if s := b.Stats().Disk; s.Failures != 2 || !s.Aside || s.Blocks != 1 || s.Bytes != allocationUnit {
			t.Errorf("Stats = %+v, want two failures, one block, and to stand aside", s)
		}
		failWith(&f.writes, nil)
		time.Sleep(retryAfter)
		b.Put(block(30), content(block(30)))
		synctest.Wait()
		wantBlock(t, b, block(30), noFill)
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, &log)
		}
	})
}

func TestReadErrorIsAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b, f := openFailing(t, &log)
		b.Put(block(0), content(block(0)))
		synctest.Wait()
		failWith(&f.reads, unix.EIO)
		wantBlock(t, b, block(0), fillOf(block(0)))
		failWith(&f.reads, nil)
		if _, err := b.ReadAt(t.Context(), block(0), nil, 0, noFill); !errors.Is(err, errAsked) {
			t.Errorf("the tier is used at once after a failure: %v", err)
		}
		time.Sleep(retryAfter)
		wantBlock(t, b, block(0), noFill)
		if s := b.Stats().Disk; s.Failures != 1 || s.Aside {
			t.Errorf("Stats = %+v, want one failure", s)
		}
	})
}

// A file that was missing for a moment is on disk and counted, or neither.
func TestFileMissingForAMomentStaysCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b, f := openFailing(t, &log)
		b.Put(block(0), content(block(0)))
		synctest.Wait()
		failWith(&f.reads, os.ErrNotExist)
		if _, err := b.ReadAt(t.Context(), block(0), nil, 0, noFill); !errors.Is(err, errAsked) {
			t.Errorf("reading a missing file: %v", err)
		}
		synctest.Wait()
		if s, on := b.Stats().Disk, sizeOf(t, f.files.(*folder).dir.Name()); s.Bytes != on {
			t.Errorf("Stats = %+v with %d bytes on disk", s, on)
		}
	})
}

// Files that could not be looked at count for nothing, so none may be added.
func TestDirectoryThatCannotBeReadIsNotWrittenTo(t *testing.T) {
	for what, fail := range map[string]func(*failing){
		"list":   func(f *failing) { failWith(&f.lists, unix.EIO) },
		"stat":   func(f *failing) { failWith(&f.stats, unix.EIO) },
		"remove": func(f *failing) { failWith(&f.removes, unix.EIO) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := stored(t, block(1))
				closeBlocks(t, b)
				writeFile(t, strings.TrimSuffix(pathOf(b, block(2)), fileSuffix)+tempSuffix, nil)
				f := &failing{}
				fail(f)
				b = openWrapped(t, b.cfg, func(inner files) files { f.files = inner; return f })
				synctest.Wait()
				failWith(&f.reads, unix.EIO) // no later failure makes it try again
				wantBlock(t, b, block(1), fillOf(block(1)))
				time.Sleep(24 * time.Hour)
				b.Put(block(3), content(block(3)))
				synctest.Wait()
				if s := b.Stats().Disk; s.Stored != 0 || !s.Aside || s.Loading {
					t.Errorf("Stats = %+v, want nothing stored", s)
				}
			})
		})
	}
}

func TestFilesThatCannotBeRemovedStillCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b, f := openFailing(t, &log)
		for i := range 2 {
			b.Put(block(i), content(block(i)))
		}
		synctest.Wait()
		failWith(&f.removes, unix.EROFS)
		for i := range 10 {
			b.Put(block(10+i), content(block(10+i)))
			synctest.Wait()
			time.Sleep(retryAfter)
		}
		if s := b.Stats().Disk; s.Bytes != 2*allocationUnit || s.Stored != 2 {
			t.Errorf("Stats = %+v, want the two files counted and no other", s)
		}
		failWith(&f.removes, nil)
		b.Put(block(30), content(block(30)))
		synctest.Wait()
		wantBlock(t, b, block(30), noFill)
		if n := sizeOf(t, b.disk.files.(*failing).files.(*folder).dir.Name()); n > b.disk.max {
			t.Errorf("%d bytes on disk", n)
		}
	})
}

// slow counts the reads that are under way at the same time.
type slow struct {
	files
	now, most atomic.Int32
}

func (s *slow) read(name string, limit int64) ([]byte, time.Time, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(time.Second)
	return s.files.read(name, limit)
}

func TestDescriptorsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		b := openWrapped(t, diskConfig(t.TempDir()), func(f files) files { s.files = f; return s })
		for i := range 100 {
			b.Put(block(i), content(block(i)))
		}
		synctest.Wait()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { wantBlock(t, b, block(i), noFill) })
		}
		wg.Wait()
		if s.most.Load() != maxDiskReads {
			t.Errorf("%d files read at once, want %d", s.most.Load(), maxDiskReads)
		}
	})
}

// sluggish takes a minute to list one file of the directory, and to write one.
type sluggish struct{ files }

func (s sluggish) list(int) ([]string, error) {
	time.Sleep(time.Minute)
	return s.files.list(1)
}

func (s sluggish) write(name, temp string, parts ...[]byte) error {
	time.Sleep(time.Minute)
	return s.files.write(name, temp, parts...)
}

func TestSlowDiskDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stored(t, block(1))
		closeBlocks(t, b)
		start := time.Now()
		b = openWrapped(t, b.cfg, func(f files) files { return sluggish{f} })
		wantBlock(t, b, block(1), noFill) // before the index knows it
		for i := range 2000 {
			wantBlock(t, b, block(i+2), fillOf(block(i+2)))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the disk delayed its readers by %v", d)
		}
		if s := b.Stats().Disk; !s.Loading || s.Skipped == 0 {
			t.Errorf("Stats = %+v, want loading and some skipped", s)
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = maxQueued + 1
		cfg := BlocksConfig{BlockSize: size, Dir: t.TempDir(), MaxDisk: 4 * maxQueued}
		b := openWrapped(t, cfg, func(f files) files { return sluggish{f} })
		b.Put(block(1), make([]byte, size)) // one is taken, however large
		b.Put(block(2), make([]byte, 1))
		if s := b.Stats().Disk; s.Skipped != 1 {
			t.Errorf("Stats = %+v, want one skipped", s)
		}
		time.Sleep(time.Hour)
		b.Put(block(3), make([]byte, 1))
		time.Sleep(time.Hour)
		if !b.Has(block(1)) || b.Has(block(2)) || !b.Has(block(3)) {
			t.Errorf("stored: %v, %v, %v, want all but the second", b.Has(block(1)), b.Has(block(2)), b.Has(block(3)))
		}
	})
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.MaxDisk = 4 * allocationUnit
		b := openTestBlocks(t, cfg)
		for i := range 4 { // full
			b.Put(block(10+i), content(block(10+i)))
		}
		closeBlocks(t, b)
		b = openWrapped(t, cfg, func(f files) files { return capped{sluggish{f}, t, cfg.Dir, cfg.MaxDisk} })
		for range 2 { // the second is the same again
			b.Put(block(1), content(block(1)))
		}
		closeBlocks(t, b) // while the directory is being listed
		if s := b.Stats().Disk; s.Stored != 1 || s.Bytes != cfg.MaxDisk {
			t.Errorf("Stats = %+v, want one stored in the place of another", s)
		}
		wantBlock(t, openTestBlocks(t, cfg), block(1), noFill)
	})
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}
