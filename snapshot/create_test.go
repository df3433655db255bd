package snapshot

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func TestCreateCopiesEverythingOutsideTheSnapshots(t *testing.T) {
	w := newWorld(t)
	w.fill(30)
	w.mem.PutBytes("data/2024/01/01/looks-like-a-snapshot", []byte("and is data"))
	live := w.live()
	live["data/2024/01/01/looks-like-a-snapshot"] = "and is data"

	first := w.create(CreateOptions{})
	if first.ID != "2026-11-23" || first.State != Complete {
		t.Errorf("made %s, %s", first.ID, first.State)
	}
	wantSame(t, "first snapshot", contents(t, w.store(), first.ID), live)

	w.clock.advance(time.Hour)
	second := w.create(CreateOptions{})
	if second.ID != "2026-11-23T100000Z" {
		t.Errorf("the second is %s", second.ID)
	}
	wantSame(t, "second snapshot", contents(t, w.store(), second.ID), live)
	for _, key := range w.mem.Keys() {
		if strings.Contains(key, "/plan/") || strings.Contains(key, "claim.json") {
			t.Errorf("%s is left behind", key)
		}
	}
}

func TestCreateKeepsAttributesAndTags(t *testing.T) {
	for _, size := range []int{10, 500} { // a copy, and a copy in parts
		w := newWorld(t)
		want := s3.Attributes{
			ContentType: "text/plain", ContentEncoding: "gzip", ContentLanguage: "en", ContentDisposition: "inline",
			CacheControl: "max-age=5", Expires: "Thu, 01 Dec 2044 16:00:00 GMT", Metadata: map[string]string{"a": "b"},
		}
		tags := map[string]string{"k": "v"}
		body := strings.NewReader(strings.Repeat("x", size))
		if _, err := w.mem.Put(t.Context(), "key", body, s3.PutOptions{Attributes: want, Tags: tags, StorageClass: "STANDARD_IA"}); err != nil {
			t.Fatal(err)
		}
		w.create(CreateOptions{})
		got, err := w.mem.Head(t.Context(), "data/2026/11/23/key")
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "attributes", got.Attributes, want)
		gotTags, err := w.mem.GetTags(t.Context(), "data/2026/11/23/key", "")
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "tags", gotTags, tags)
		if got.StorageClass != "STANDARD_IA" {
			t.Errorf("class %q", got.StorageClass)
		}
	}
}

func TestCreateResumesAfterACrashAnywhere(t *testing.T) {
	for round := range 6 {
		when, opaque := moments[round%3], round/3 == 1
		for at := 1; ; at++ {
			w := newWorld(t)
			if opaque { // as with KMS: no ETag tells that a copy is one
				w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, OpaqueETags: true})
			}
			w.fill(14)
			live := w.live()
			counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
			faulty := s3test.NewFaulty(counter, s3test.Plan{Crash: s3test.Crash{At: at, When: when}})
			_, err := w.open(faulty).Create(t.Context(), CreateOptions{})
			if !faulty.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if when == s3test.InBody && !hasBody(faulty.Log()[at-1].Op) {
				continue // is BeforeCall
			}
			list, err := w.store().List(t.Context())
			if err != nil {
				t.Fatalf("crash at %d: %v", at, err)
			}
			if existing := Existing(list); len(existing) == 0 {
				w.clock.advance(leaseDead)
				if _, err := w.open(counter).Create(t.Context(), CreateOptions{}); err != nil {
					t.Fatalf("resume after a crash at %d: %v", at, err)
				}
			}
			counter.wantOnce(t, at)
			wantSame(t, "snapshot", contents(t, w.store(), "2026-11-23"), live)
			wantSame(t, "live data", w.live(), live)
			if u := w.mem.Uploads(); len(u) > 0 {
				t.Fatalf("crash at %d leaves uploads %v", at, u)
			}
		}
	}
}

// copyCounter counts the copies that a bucket really made.
type copyCounter struct {
	s3.Bucket

	mu   sync.Mutex
	made map[string]int // guarded by mu
}

func (c *copyCounter) count(key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.made[key]++
	}
}

func (c *copyCounter) wantOnce(t testing.TB, at int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range c.made {
		if n > 1 {
			t.Errorf("crash at %d: %s was copied %d times", at, key, n)
		}
	}
}

func (c *copyCounter) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	info, err := c.Bucket.Copy(ctx, src, dst, o)
	c.count(dst, err)
	return info, err
}

func (c *copyCounter) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	u, err := c.Bucket.NewUpload(ctx, key, o)
	return &countedUpload{u, c}, err
}

type countedUpload struct {
	s3.Upload
	c *copyCounter
}

func (u *countedUpload) Complete(ctx context.Context) (s3.Info, error) {
	info, err := u.Upload.Complete(ctx)
	u.c.count(u.Key(), err)
	return info, err
}

func TestStreamingSurvivesACrashAnywhere(t *testing.T) {
	for _, when := range []s3test.Moment{s3test.BeforeCall, s3test.AfterCall, s3test.InBody} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.fill(10)
			backups := w.newMem()
			faulty := s3test.NewFaulty(backups, s3test.Plan{Crash: s3test.Crash{At: at, When: when}})
			cfg := w.config(w.mem)
			cfg.Dest = faulty
			_, err := w.openConfig(cfg).Create(t.Context(), CreateOptions{})
			if !faulty.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			w.clock.advance(leaseDead)
			cfg.Dest = backups
			s := w.openConfig(cfg)
			if _, err := s.Create(t.Context(), CreateOptions{IfMissing: true}); err != nil {
				t.Fatalf("after a crash at %d: %v", at, err)
			}
			wantSame(t, "snapshot", contents(t, s, "2026-11-23"), w.live())
			if u := backups.Uploads(); len(u) > 0 {
				t.Fatalf("crash at %d leaves uploads %v", at, u)
			}
		}
	}
}

func TestTwoRunsAtOnceMakeOneSnapshot(t *testing.T) {
	w := newWorld(t)
	w.fill(5)
	s := w.store()
	c := w.begin(s, CreateOptions{})
	if _, err := w.store().Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second run gets %v", err)
	}
	if _, err := c.make(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRunThatLostItsClaimStops(t *testing.T) {
	w := newWorld(t)
	w.fill(5)
	slow := w.store()
	c := w.begin(slow, CreateOptions{})
	w.clock.advance(leaseDead)
	w.create(CreateOptions{})
	if _, err := c.make(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the slow run gets %v", err)
	}
}

// TestStartedIsWhenTheFirstRunDid resumes twice: all objects are of between Started
// and Finished.
func TestStartedIsWhenTheFirstRunDid(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	started := w.clock.now()
	for range 2 {
		w.gather(w.store(), CreateOptions{})
		w.clock.advance(time.Hour)
	}
	if made := w.create(CreateOptions{}); !made.Resumed || !made.Started.Equal(started) {
		t.Errorf("resumed: %v, started %s", made.Resumed, made.Started)
	}
}

func TestIfMissingIsQuiet(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.create(CreateOptions{})
	if again := w.create(CreateOptions{IfMissing: true}); !again.Existed || again.ID != "2026-11-23" {
		t.Errorf("got %+v", again)
	}
}

func TestCreateRefusesForeignObjectsUnderItsPrefix(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("data/2026/11/23/mine", []byte("x"))
	if _, err := w.store().Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestCreateRefusesAPublicBucket(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.mem.SetPublic(true)
	if _, err := w.store().Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	w.create(CreateOptions{AllowPublic: true})
}

func TestIncrementalLinksWhatIsUnchanged(t *testing.T) {
	w := newWorld(t)
	w.fill(20)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	w.mem.PutBytes("dir0/file00", []byte("new content"))
	w.mem.PutBytes("dir9/new", []byte("new object"))
	live := w.live()
	second := w.create(CreateOptions{Incremental: true})
	if second.Own != 2 || second.Parent != "2026-11-23" {
		t.Errorf("%d objects of its own, parent %s", second.Own, second.Parent)
	}
	w.clock.advance(24 * time.Hour)
	third := w.create(CreateOptions{Incremental: true})
	if third.Own != 0 {
		t.Errorf("%d objects of its own in the third", third.Own)
	}
	wantSame(t, "second", contents(t, w.store(), second.ID), live)
	wantSame(t, "third", contents(t, w.store(), third.ID), live)
}

func TestIncrementalCopiesWhatTheOwnerLost(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/23/dir0/file03"}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(24 * time.Hour)
	second := w.create(CreateOptions{Incremental: true})
	if second.Own != 1 {
		t.Errorf("%d objects of its own", second.Own)
	}
	wantSame(t, "second", contents(t, w.store(), second.ID), w.live())
}

func TestCreateIntoAnotherBucketStreamsIfItMust(t *testing.T) {
	for _, neighbours := range []bool{true, false} {
		w := newWorld(t)
		w.fill(20)
		cfg := s3test.MemConfig{Now: w.clock.now, MinPartSize: 1}
		if neighbours {
			cfg.Neighbours = map[string]*s3test.Mem{"bucket": w.mem}
		}
		c := w.config(w.mem)
		c.Dest, c.DestName = s3test.NewMem(cfg), "backups"
		s := w.openConfig(c)
		made, err := s.Create(t.Context(), CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := Streamed
		if neighbours {
			want = ServerSide
		}
		if made.Copy != want {
			t.Errorf("copied %s, want %s", made.Copy, want)
		}
		wantSame(t, "copy", contents(t, s, made.ID), w.live())
	}
}

func TestFromAndFilterNarrowASnapshot(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a/x.txt", "a/x.tmp", "a/keep.tmp", "b/x.txt"} {
		w.mem.PutBytes(key, []byte(key))
	}
	made := w.create(CreateOptions{From: "a/", Filter: []Pattern{{Exclude: "*.tmp"}, {Include: "keep.*"}}})
	wantSame(t, "snapshot", contents(t, w.store(), made.ID), map[string]string{"a/x.txt": "a/x.txt", "a/keep.tmp": "a/keep.tmp"})
}

func TestUnreadableObjectsMakeItPartial(t *testing.T) {
	w := newWorld(t)
	w.fill(6)
	plan := s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Key: "data/2026/11/23/dir1/file04", Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrArchived}}}}
	made, err := w.open(s3test.NewFaulty(w.mem, plan)).Create(t.Context(), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.State != Partial || made.Skipped != 1 || made.Notes[0] != (Note{"dir1/file04", Archived, ""}) {
		t.Errorf("%s, %d skipped, %v", made.State, made.Skipped, made.Notes)
	}
	if _, err := w.open(s3test.NewFaulty(w.mem, plan)).Create(t.Context(), CreateOptions{Strict: true}); err == nil {
		w.clock.advance(time.Hour)
	}
}

func TestAdoptIndexesWithoutCopying(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{}
	for _, key := range []string{"a", "b/c", "d/", "e//f"} {
		w.mem.PutBytes("data/2025/06/01/"+key, []byte("old "+key))
		want[key] = "old " + key
	}
	w.mem.PutBytes("data/2025/06/01/", nil)
	made, err := w.store().Adopt(t.Context(), "data/2025/06/01/", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Mode != Adopted || made.Copies != 0 {
		t.Errorf("%s, %d copies", made.Mode, made.Copies)
	}
	wantSame(t, "adopted", contents(t, w.store(), "2025-06-01"), want)
	if _, err := w.store().Adopt(t.Context(), "2025/06/01", CreateOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("adopting again: %v", err)
	}
}

func TestAdoptionGoesOnAfterAnInterruption(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("data/2026/11/22/mine", []byte("by a script"))
	o := CreateOptions{adopt: "2026-11-22"}
	w.gather(w.store(), o)
	w.clock.advance(leaseDead)
	made, err := w.store().Adopt(t.Context(), "data/2026/11/22/", CreateOptions{})
	if err != nil || made.Objects != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	if keys := w.mem.Keys(); len(keys) != 4 { // with manifest, one segment and clock
		t.Errorf("left are %q", keys)
	}
}

// TestAdoptedOneIsAsOldAsItsName guards against an old copy that is adopted today
// passing for a fresh snapshot, with policies and with whoever watches the age.
func TestAdoptedOneIsAsOldAsItsName(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("data/2025/06/01/a", []byte("old"))
	made, err := w.store().Adopt(t.Context(), "data/2025/06/01", CreateOptions{})
	if err != nil || !made.Started.Equal(time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%v, %v", made.Started, err)
	}
	w.mem.PutBytes("key", []byte("live"))
	today := w.create(CreateOptions{})
	pruned, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Within: 30 * 24 * time.Hour}, DryRun: true})
	if err != nil || len(pruned.Removed) != 1 || pruned.Removed[0].ID != made.ID {
		t.Errorf("removed %+v, not only %s beside %s, %v", pruned.Removed, made.ID, today.ID, err)
	}
}

func TestIfMissingMindsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	w.mem.PutBytes("dir0/file03", []byte("overwritten"))
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	w.create(CreateOptions{From: "dir1/"})
	w.clock.advance(time.Hour)
	made := w.create(CreateOptions{IfMissing: true})
	if made.Existed || made.Objects != 9 {
		t.Errorf("%s, existed: %v, is of %d objects", made.ID, made.Existed, made.Objects)
	}
	if again := w.create(CreateOptions{IfMissing: true}); again.ID != made.ID {
		t.Errorf("then there is %s", again.ID)
	}
}

// TestIfMissingMindsTheBucket keeps snapshots of two buckets in a third.
func TestIfMissingMindsTheBucket(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	backups := w.newMem()
	for _, name := range []string{"one", "two", "two"} {
		made, err := w.openOf(name, w.mem, backups).Create(t.Context(), CreateOptions{IfMissing: true})
		if err != nil || made.Source.Bucket != name {
			t.Fatalf("of %s there is %+v, %v", name, made, err)
		}
	}
}

// TestLaterOneIsLaterByName deletes the first snapshot of a day, whose name is
// then free, and is that of the morning.
func TestLaterOneIsLaterByName(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	for range 2 {
		w.create(CreateOptions{})
		w.clock.advance(time.Hour)
	}
	if _, err := w.store().Delete(t.Context(), []ID{"2026-11-23"}, DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	made := w.create(CreateOptions{})
	if latest, err := w.store().Find(t.Context(), "latest"); err != nil || latest != made.ID {
		t.Errorf("after %s the latest is %s, %v", made.ID, latest, err)
	}
}

// TestResumedRunReadsOnlyPlansThatAreNotDone bounds its memory: the plans of all
// segments are the whole snapshot.
func TestResumedRunReadsOnlyPlansThatAreNotDone(t *testing.T) {
	w := newWorld(t)
	w.fill(20)
	w.interrupt(CreateOptions{})
	bucket := s3test.NewFaulty(w.mem, s3test.Plan{})
	if made, err := w.open(bucket).Create(t.Context(), CreateOptions{}); err != nil || !made.Resumed || made.Copies != 0 {
		t.Errorf("made %+v, %v", made, err)
	}
	for _, call := range bucket.Log() {
		if call.Op == s3.OpGet && strings.Contains(call.Key, "/plan/") {
			t.Errorf("reads %s", call.Key)
		}
	}
}
