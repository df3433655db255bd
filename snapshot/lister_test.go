package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// keysOf lists with a lister and checks that its batches tile the spans.
func keysOf(t rapid.TB, l *lister, spans []span) []string {
	var mu sync.Mutex
	var batches []batch
	l.take = func(s3.Object) bool { return true }
	l.emit = func(b batch) {
		mu.Lock()
		defer mu.Unlock()
		batches = append(batches, b)
	}
	if err := l.run(context.Background(), spans); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var covered []span
	slices.SortFunc(batches, func(a, b batch) int { return compareKeys(a.after, b.after) })
	for _, b := range batches {
		covered = append(covered, b.span)
		if len(b.objects) > l.size {
			t.Fatalf("a batch of %d", len(b.objects))
		}
		for _, o := range b.objects {
			if !b.contains(o.Key) {
				t.Fatalf("%q is not in %q", o.Key, b.span)
			}
			keys = append(keys, o.Key)
		}
	}
	if a, b, found := overlap(covered); found {
		t.Fatalf("batches %q and %q overlap", a, b)
	}
	if left, want := gaps(covered), gaps(spans); !slices.Equal(left, want) {
		t.Fatalf("batches leave %q, the spans leave %q", left, want)
	}
	return keys
}

func compareKeys(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func TestListerFindsEveryKeyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := s3test.NewMem(s3test.MemConfig{MaxPage: rapid.IntRange(1, 7).Draw(t, "page")})
		prefix := rapid.SampledFrom([]string{"", "logs/", "a/very/long/common/beginning/of/all/"}).Draw(t, "prefix")
		keys := rapid.SliceOfDistinct(anyKeys(), rapid.ID[string]).Draw(t, "keys")
		for i := range keys {
			keys[i] = prefix + keys[i]
			mem.PutBytes(keys[i], nil)
		}
		slices.Sort(keys)
		l := &lister{bucket: mem, size: rapid.IntRange(1, 5).Draw(t, "size"), workers: rapid.IntRange(1, 5).Draw(t, "workers")}
		if got := keysOf(t, l, []span{{}}); !slices.Equal(got, keys) {
			t.Fatalf("got %q, want %q", got, keys)
		}
	})
}

func TestListerPassesOverWhatIsLeftOut(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{MaxPage: 10})
	for i := range 300 {
		mem.PutBytes(fmt.Sprintf("data/2026/11/23/%04d", i), nil)
	}
	mem.PutBytes("a", nil)
	mem.PutBytes("data/2026/11/230", nil)
	mem.PutBytes("z", nil)
	faulty := s3test.NewFaulty(mem, s3test.Plan{})
	l := &lister{bucket: faulty, size: 100, workers: 1}
	got := keysOf(t, l, gaps(belowAll([]string{"data/2026/11/23/"})))
	got = slices.DeleteFunc(got, func(key string) bool { return hasAnyPrefix(key, []string{"data/2026/11/23/"}) })
	wantSame(t, "keys", got, []string{"a", "data/2026/11/230", "z"})
	if n := faulty.Calls()[s3.OpList]; n > 3 {
		t.Errorf("%d requests", n)
	}
}

func TestListerSharesALargeListing(t *testing.T) {
	many := &synthetic{n: 60_000, key: func(i int) string { return fmt.Sprintf("logs/2026/host%03d/part-%06d", i%977, i/977) }}
	many.sort()
	many.trip = 5 * time.Millisecond
	l := &lister{bucket: many, size: 5000, workers: 8}
	if got := keysOf(t, l, []span{{}}); len(got) != many.n {
		t.Errorf("%d keys", len(got))
	}
	if peak := many.peak.Load(); peak < 5 { // of 8; they wait, so that a machine of one core will do
		t.Errorf("only %d listings at once", peak)
	}
	if n := many.lists.Load(); n > 60+180 {
		t.Errorf("%d requests for 60 pages", n)
	}
}

func TestListerRefusesAnotherOrder(t *testing.T) {
	l := &lister{bucket: unordered{}, size: 10, workers: 1, take: func(s3.Object) bool { return true }, emit: func(batch) {}}
	if err := l.run(t.Context(), []span{{}}); !errors.Is(err, s3.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

type unordered struct{ s3.Bucket }

func (unordered) ListPage(context.Context, s3.ListInput) (s3.Page, error) {
	return s3.Page{Objects: []s3.Object{{Key: "b"}, {Key: "a"}}}, nil
}

// synthetic is a bucket that makes up its objects: n keys in order, which take
// no memory. Copies into it are acknowledged and forgotten.
type synthetic struct {
	s3.Bucket
	n     int
	key   func(i int) string
	order []int32 // positions in key order, where key itself is not
	lists atomic.Int64
	now   atomic.Int64
	peak  atomic.Int64
	trip  time.Duration // how long a listing takes
}

func (b *synthetic) sort() {
	b.order = make([]int32, b.n)
	for i := range b.order {
		b.order[i] = int32(i)
	}
	slices.SortFunc(b.order, func(x, y int32) int { return compareKeys(b.key(int(x)), b.key(int(y))) })
}

func (b *synthetic) at(i int) string {
	if b.order != nil {
		return b.key(int(b.order[i]))
	}
	return b.key(i)
}

func (b *synthetic) ListPage(_ context.Context, in s3.ListInput) (s3.Page, error) {
	b.lists.Add(1)
	if now := b.now.Add(1); now > b.peak.Load() {
		b.peak.Store(now)
	}
	defer b.now.Add(-1)
	if b.trip > 0 {
		time.Sleep(b.trip)
	}
	after := in.StartAfter
	if in.Token != "" {
		after = in.Token
	}
	low, high := 0, b.n
	for low < high {
		if mid := (low + high) / 2; b.at(mid) > after {
			high = mid
		} else {
			low = mid + 1
		}
	}
	size := s3.MaxPage
	if in.Max > 0 {
		size = in.Max
	}
	var page s3.Page
	for i := low; i < min(low+size, b.n); i++ {
		page.Objects = append(page.Objects, s3.Object{Key: b.at(i), Size: int64(i), ETag: fmt.Sprintf("\"%032x\"", i)})
	}
	if low+size < b.n {
		page.Next = page.Objects[len(page.Objects)-1].Key
	}
	return page, nil
}
