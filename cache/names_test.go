package cache

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	testTTL    = time.Minute
	testNegTTL = 10 * time.Second
)

// clock is a time that stands still until a test moves it.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func newTestNames(t testing.TB) (*Names[int], *clock) {
	t.Helper()
	c := &clock{t: time.Unix(1e9, 0)}
	return NewNames[int](NamesConfig{TTL: testTTL, NegativeTTL: testNegTTL, Now: c.now}), c
}

func named(pairs ...any) (entries []Named[int]) {
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, Named[int]{Name: pairs[i].(string), Entry: pairs[i+1].(int)})
	}
	return entries
}

func wantPresent(t *testing.T, n *Names[int], name string, e int, left time.Duration) {
	t.Helper()
	gotE, gotLeft, v := n.Lookup("d/", name)
	if gotE != e || gotLeft != left || v != Present {
		t.Errorf("Lookup(%q) = %d, %v, %v, want %d, %v, Present", name, gotE, gotLeft, v, e, left)
	}
}

func wantVerdict(t *testing.T, n *Names[int], name string, want Verdict, left time.Duration) {
	t.Helper()
	gotE, gotLeft, v := n.Lookup("d/", name)
	if gotE != 0 || gotLeft != left || v != want {
		t.Errorf("Lookup(%q) = %d, %v, %v, want 0, %v, %v", name, gotE, gotLeft, v, left, want)
	}
}

func wantDir(t *testing.T, n *Names[int], want []Named[int]) {
	t.Helper()
	got, _, ok := n.Dir("d/")
	if !ok {
		t.Fatal("the directory is not complete")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Dir (-want +got):\n%s", diff)
	}
}

func TestNamesExpire(t *testing.T) {
	n, c := newTestNames(t)
	wantVerdict(t, n, "x", Unknown, 0)
	n.Put("d/", "x", 1)
	n.PutAbsent("d/", "y")
	wantVerdict(t, n, "z", Unknown, 0)
	wantPresent(t, n, "x", 1, testTTL)
	wantVerdict(t, n, "y", Absent, testNegTTL)
	c.advance(testNegTTL)
	wantVerdict(t, n, "y", Unknown, 0)
	c.advance(testTTL - testNegTTL - 1)
	wantPresent(t, n, "x", 1, 1)
	c.advance(1)
	wantVerdict(t, n, "x", Unknown, 0)
}

func TestCompleteDirectoryKnowsWhatItLacks(t *testing.T) {
	n, c := newTestNames(t)
	s := n.Begin("d/")
	c.advance(time.Second)
	s.Done(named("b", 2, "a", 1, "\xff", 4, "c", 3, "b", 5))
	left := testTTL - time.Second // counted from Begin
	wantDir(t, n, named("a", 1, "b", 2, "c", 3, "\xff", 4))
	wantPresent(t, n, "b", 2, left)
	wantVerdict(t, n, "bb", Absent, left)
	if n.Partial("d/") {
		t.Error("a complete directory counts as partial")
	}
	c.advance(left)
	wantVerdict(t, n, "b", Unknown, 0)
	wantVerdict(t, n, "bb", Unknown, 0)
	if _, _, ok := n.Dir("d/"); ok {
		t.Error("the directory outlives its listing")
	}
}

func TestPartialListingLeavesTheRestUnknown(t *testing.T) {
	n, c := newTestNames(t)
	n.Put("d/", "z", 26)
	n.Put("d/", "a", 0) // older than the listing
	n.Begin("d/").Partial(named("a", 1))
	if !n.Partial("d/") {
		t.Error("Partial = false after a partial listing")
	}
	wantPresent(t, n, "a", 1, testTTL)
	wantPresent(t, n, "z", 26, testTTL)
	wantVerdict(t, n, "b", Unknown, 0)
	if _, _, ok := n.Dir("d/"); ok {
		t.Error("a partial listing counts as complete")
	}
	c.advance(testTTL)
	if n.Partial("d/") {
		t.Error("Partial = true after its time")
	}
}

func TestPartialListingDoesNotReplaceACompleteOne(t *testing.T) {
	n, _ := newTestNames(t)
	n.Begin("d/").Done(named("a", 1, "z", 26))
	n.Begin("d/").Partial(named("a", 1))
	wantDir(t, n, named("a", 1, "z", 26))
}

func TestOlderListingDoesNotReplaceANewerOne(t *testing.T) {
	n, _ := newTestNames(t)
	old, young := n.Begin("d/"), n.Begin("d/")
	young.Done(named("new", 2))
	old.Done(named("old", 1))
	wantDir(t, n, named("new", 2))
}

func TestOwnChangesShowInACompleteDirectory(t *testing.T) {
	n, c := newTestNames(t)
	n.Begin("d/").Done(named("a", 1, "b", 2, "c", 3))
	n.PutAbsent("d/", "b")
	n.Put("d/", "c", 33)
	n.Put("d/", "aa", 11)
	wantDir(t, n, named("a", 1, "aa", 11, "c", 33))
	n.Put("d/", "b", 22)
	n.PutAbsent("d/", "aa")
	wantDir(t, n, named("a", 1, "b", 22, "c", 33))
	c.advance(testNegTTL) // the removal is still known from the listing
	wantVerdict(t, n, "aa", Absent, testTTL-testNegTTL)
}

func TestDirectorySlicesAreNeverChanged(t *testing.T) {
	n, _ := newTestNames(t)
	n.Begin("d/").Done(named("a", 1, "b", 2))
	before, _, _ := n.Dir("d/")
	n.PutAbsent("d/", "a")
	n.Put("d/", "0", 0)
	n.Put("d/", "b", 22)
	n.Dir("d/")
	if diff := cmp.Diff(named("a", 1, "b", 2), before); diff != "" {
		t.Errorf("a slice handed out before (-want +got):\n%s", diff)
	}
}

func TestEndOfADirectoryDoesNotResurrectNames(t *testing.T) {
	for _, merge := range []bool{false, true} {
		n, c := newTestNames(t)
		n.Begin("d/").Done(named("gone", 1, "old", 2))
		c.advance(testTTL - time.Second)
		n.PutAbsent("d/", "gone")
		n.Put("d/", "new", 3)
		if merge {
			n.Dir("d/")
		}
		c.advance(time.Second) // the listing ends
		wantVerdict(t, n, "gone", Absent, testNegTTL-time.Second)
		wantPresent(t, n, "new", 3, testTTL-time.Second)
		wantVerdict(t, n, "old", Unknown, 0)
		c.advance(testNegTTL)
		wantVerdict(t, n, "gone", Unknown, 0)
	}
}

// A name in a partial listing that was removed stays hidden when the memory of
// the removal has expired and the listing has not, sweeps included.
func TestListingDoesNotResurrectAnExpiredRemoval(t *testing.T) {
	n, c := newTestNames(t)
	n.Begin("d/").Partial(named("gone", 1))
	n.PutAbsent("d/", "gone")
	c.advance(testNegTTL)
	for i := range 3 * minSweep {
		n.PutAbsent("d/", strconv.Itoa(i))
	}
	wantVerdict(t, n, "gone", Unknown, 0)
}

func TestChangesDuringAScanWin(t *testing.T) {
	n, c := newTestNames(t)
	n.Put("d/", "before", 1)
	n.PutAbsent("d/", "found")
	s := n.Begin("d/")
	n.Put("d/", "made", 2)
	n.Put("d/", "changed", 3)
	n.PutAbsent("d/", "removed")
	c.advance(2 * testNegTTL) // a slow listing outlives the memory of the removal
	s.Done(named("found", 4, "changed", 5, "removed", 6))
	wantDir(t, n, named("changed", 3, "found", 4, "made", 2))
	wantVerdict(t, n, "before", Absent, testTTL-2*testNegTTL)
	wantVerdict(t, n, "removed", Absent, testTTL-2*testNegTTL)
}

func TestAnswersAboutOneNameGiveWayToOwnChanges(t *testing.T) {
	n, c := newTestNames(t)
	found, missing, undisturbed, none := n.Begin("d/"), n.Begin("d/"), n.Begin("d/"), n.Begin("d/")
	n.PutAbsent("d/", "removed")
	n.Put("d/", "made", 1)
	c.advance(time.Second)
	found.Found("removed", 2)
	missing.Missing("made")
	undisturbed.Found("seen", 3)
	none.Missing("none")
	wantVerdict(t, n, "removed", Absent, testNegTTL-time.Second)
	wantPresent(t, n, "made", 1, testTTL-time.Second)
	wantPresent(t, n, "seen", 3, testTTL-time.Second)
	wantVerdict(t, n, "none", Absent, testNegTTL-time.Second)
	undisturbed.Found("seen", 4) // it is over
	wantPresent(t, n, "seen", 3, testTTL-time.Second)
}

func TestAnswersAboutOneNameGiveWayToANewerListing(t *testing.T) {
	for _, partial := range []bool{false, true} {
		n, _ := newTestNames(t)
		old, none, beyond := n.Begin("d/"), n.Begin("d/"), n.Begin("d/")
		if listing := n.Begin("d/"); partial {
			listing.Partial(named("a", 1, "b", 2))
		} else {
			listing.Done(named("a", 1, "b", 2))
		}
		old.Found("a", 3)
		none.Missing("b")
		wantPresent(t, n, "a", 1, testTTL)
		wantPresent(t, n, "b", 2, testTTL)
		beyond.Found("c", 5)
		if partial {
			wantPresent(t, n, "c", 5, testTTL)
		} else {
			wantVerdict(t, n, "c", Absent, testTTL)
		}
		n.Begin("d/").Found("a", 4)
		wantPresent(t, n, "a", 4, testTTL)
	}
}

func TestScanWithADroppedNameIsNotComplete(t *testing.T) {
	n, _ := newTestNames(t)
	s := n.Begin("d/")
	n.Drop("d/", "x")
	s.Done(named("a", 1, "x", 2))
	wantVerdict(t, n, "x", Unknown, 0)
	wantVerdict(t, n, "y", Unknown, 0)
	wantPresent(t, n, "a", 1, testTTL)
	if _, _, ok := n.Dir("d/"); ok {
		t.Error("the directory counts as complete")
	}
}

func TestDropForgetsOneName(t *testing.T) {
	n, _ := newTestNames(t)
	n.Begin("d/").Done(named("a", 1, "x", 2))
	n.Drop("d/", "x")
	wantVerdict(t, n, "x", Unknown, 0)
	wantVerdict(t, n, "y", Unknown, 0)
	wantPresent(t, n, "a", 1, testTTL)
	if _, _, ok := n.Dir("d/"); ok {
		t.Error("the directory still counts as complete")
	}
	n.Put("d/", "x", 3)
	wantPresent(t, n, "x", 3, testTTL)
	n.Drop("d/", "x")
	wantVerdict(t, n, "x", Unknown, 0)
}

func TestScanCannotStoreAfterDropOrCancel(t *testing.T) {
	for name, end := range map[string]func(*Names[int], *Scan[int]){
		"Cancel":   func(_ *Names[int], s *Scan[int]) { s.Cancel(); s.Cancel() },
		"DropDir":  func(n *Names[int], _ *Scan[int]) { n.DropDir("d/") },
		"DropTree": func(n *Names[int], _ *Scan[int]) { n.DropTree("") },
		"Done":     func(n *Names[int], s *Scan[int]) { s.Done(nil); n.DropDir("d/") },
		"time": func(n *Names[int], _ *Scan[int]) {
			n.cfg.Now = func() time.Time { return time.Unix(1e9, 0).Add(testTTL) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, _ := newTestNames(t)
			s := n.Begin("d/")
			end(n, s)
			s.Done(named("a", 1))
			s.Cancel()
			wantVerdict(t, n, "a", Unknown, 0)
			wantVerdict(t, n, "b", Unknown, 0)
			if len(n.scans) != 0 {
				t.Errorf("%d scans remain", len(n.scans))
			}
		})
	}
}

func TestDropTreeDropsByPrefix(t *testing.T) {
	n, _ := newTestNames(t)
	for _, dir := range []string{"", "a/", "a/b/", "ab/", "b/"} {
		n.Begin(dir).Done(named("x", 1))
	}
	n.DropTree("a/")
	for dir, want := range map[string]Verdict{"": Present, "a/": Unknown, "a/b/": Unknown, "ab/": Present, "b/": Present} {
		if _, _, v := n.Lookup(dir, "x"); v != want {
			t.Errorf("Lookup in %q = %v, want %v", dir, v, want)
		}
	}
}

// processorTime is what this process has used of it, which a machine that is busy
// with others does not add to.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano())
}

// Removing a tree from its leaves up must not look through all of it each time.
func TestRemovingATreeOfDirectoriesIsFast(t *testing.T) {
	n := NewNames[int](NamesConfig{TTL: time.Hour, MaxBytes: 1 << 30})
	const many = 50_000
	for i := range many {
		n.Begin(fmt.Sprintf("a/b/%d/", i)).Done(nil)
	}
	start := processorTime(t)
	for i := range many {
		n.DropTree(fmt.Sprintf("a/b/%d/", i))
	}
	if d := processorTime(t) - start; d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	if s := n.Stats(); s.Directories != 0 || s.Bytes != 0 {
		t.Errorf("Stats = %+v, want nothing left", s)
	}
}

func TestStopwatchGoesByWhicheverClockWentFurther(t *testing.T) {
	w := stopwatch{last: time.Unix(1000, 0)}
	for _, test := range []struct{ at, want int64 }{{1001, 1}, {1001, 1}, {900, 1}, {905, 6}} {
		if got := w.read(time.Unix(test.at, 0)); got != time.Duration(test.want)*time.Second {
			t.Errorf("at %d it shows %v, want %ds", test.at, got, test.want)
		}
	}
	for _, test := range []struct{ monotonic, wall, want time.Duration }{
		{1, 1, 1}, {1, 5, 5}, {5, 1, 5}, {5, -9, 5}, {-1, -1, 0},
	} {
		if got := further(test.monotonic, test.wall); got != test.want {
			t.Errorf("further(%d, %d) = %d, want %d", test.monotonic, test.wall, got, test.want)
		}
	}
}

func TestNamesWithoutTTLRememberNothing(t *testing.T) {
	n := NewNames[int](NamesConfig{NegativeTTL: time.Hour})
	n.Put("d/", "x", 1)
	n.PutAbsent("d/", "y")
	s := n.Begin("d/")
	s.Done(named("z", 1))
	s.Cancel()
	n.Drop("d/", "x")
	for _, name := range []string{"x", "y", "z"} {
		wantVerdict(t, n, name, Unknown, 0)
	}
	if s := n.Stats(); s.Directories != 0 || s.Bytes != 0 || s.Misses != 3 {
		t.Errorf("Stats = %+v, want 3 misses alone", s)
	}
}

func TestLeastRecentlyUsedDirectoryIsDropped(t *testing.T) {
	c := &clock{}
	n := NewNames[int](NamesConfig{TTL: testTTL, MaxBytes: 4 * (directoryWeight + ancestorWeight + 100), Now: c.now})
	for _, dir := range []string{"1", "2", "3", "4"} {
		n.Begin(dir).Done(named("x", 1))
	}
	n.Lookup("1", "x")
	n.Begin("5").Done(named("x", 1))
	for dir, want := range map[string]Verdict{"1": Present, "2": Unknown, "3": Present, "4": Present, "5": Present} {
		if _, _, v := n.Lookup(dir, "x"); v != want {
			t.Errorf("Lookup in %q = %v, want %v", dir, v, want)
		}
	}
	if s := n.Stats(); s.Evicted != 1 || s.Directories != 4 {
		t.Errorf("Stats = %+v, want 1 evicted and 4 left", s)
	}
}

func TestDirectoryLargerThanAllLeavesTheOthers(t *testing.T) {
	c := &clock{}
	n := NewNames[int](NamesConfig{TTL: testTTL, MaxBytes: 64 << 10, Now: c.now})
	n.Begin("d/").Done(named("x", 1))
	var many []Named[int]
	for i := range 10_000 {
		many = append(many, Named[int]{Name: strconv.Itoa(i)})
	}
	n.Begin("large/").Done(many)
	wantPresent(t, n, "x", 1, testTTL)
	if _, _, v := n.Lookup("large/", "1"); v != Unknown {
		t.Errorf("a directory larger than the bound is kept: %v", v)
	}
}

// Names asked for that are not there must not fill the memory for ever.
func TestExpiredNamesAreSwept(t *testing.T) {
	n, c := newTestNames(t)
	for i := range 100_000 {
		n.PutAbsent("d/", strconv.Itoa(i))
		c.advance(testNegTTL / 100)
	}
	if s := n.Stats(); s.Bytes > 100_000 {
		t.Errorf("%d bytes for 100 fresh names", s.Bytes)
	}
}

// Ten thousand names added to a large directory, and the directory read now and
// then: quadratic behaviour would take minutes.
func TestLargeDirectoryStaysFast(t *testing.T) {
	n, _ := newTestNames(t)
	var many []Named[int]
	for i := range 100_000 {
		many = append(many, Named[int]{Name: fmt.Sprintf("%06d", i)})
	}
	n.Begin("d/").Done(many)
	start := processorTime(t)
	for i := range 10_000 {
		n.Put("d/", fmt.Sprintf("n%06d", i), i)
		wantVerdict(t, n, "nothing", Absent, testTTL)
		if i%1000 == 0 {
			n.Dir("d/")
		}
	}
	for range 10_000 {
		n.Dir("d/") // unchanged
	}
	if d := processorTime(t) - start; d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	if got, _, _ := n.Dir("d/"); len(got) != 110_000 || !slices.IsSortedFunc(got, byName) {
		t.Errorf("%d names, want 110000 in order", len(got))
	}
}

func TestNamesAreSafeForConcurrentUse(t *testing.T) {
	n := NewNames[int](NamesConfig{TTL: time.Hour, NegativeTTL: time.Hour, MaxBytes: 8 << 10})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				dir, name := strconv.Itoa(i%5), strconv.Itoa(i%17)
				switch (i + w) % 8 {
				case 0:
					n.Begin(dir).Done(named(name, 1))
				case 1:
					n.Begin(dir).Partial(named(name, 1))
				case 2:
					n.PutAbsent(dir, name)
				case 3:
					n.Dir(dir)
				case 4:
					n.Drop(dir, name)
				case 5:
					n.DropTree(dir)
				default:
					n.Put(dir, name, i)
				}
				n.Lookup(dir, name)
				n.Stats()
			}
		})
	}
	wg.Wait()
}

// A directory made where nothing was known to be is empty only for as long as
// that is known.
func TestMadeDirectoryIsEmptyWhileItsNameIsKnownToBeAbsent(t *testing.T) {
	now := time.Unix(0, 0)
	n := NewNames[int](NamesConfig{TTL: 10 * time.Second, NegativeTTL: 10 * time.Second, Now: func() time.Time { return now }})
	n.Begin("").Done(nil)
	now = now.Add(7 * time.Second)
	_, left, v := n.Lookup("", "d")
	if v != Absent || left != 3*time.Second {
		t.Fatalf("d is %v for %v", v, left)
	}
	n.Made("d/", left)
	for _, after := range []time.Duration{0, 2 * time.Second, 2 * time.Second} {
		now = now.Add(after)
		if _, left, ok := n.Dir("d/"); ok != (now.Unix() < 10) {
			t.Errorf("after %d s: empty: %v, for %v", now.Unix(), ok, left)
		}
	}
}
