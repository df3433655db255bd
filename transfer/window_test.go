package transfer

import (
	"testing"
	"time"
)

// simulate reads n bytes from a server whose connections bring rate bytes a
// second each and total together, and returns the widest it went and where it
// ended.
func simulate(rate, total float64, n int64) (widest, last int) {
	var p pace
	now := time.Unix(0, 0)
	for ; n > 0; n -= 1 << 20 {
		speed := min(rate*float64(p.width()), total)
		took := time.Duration(float64(1<<20) / speed * float64(time.Second))
		now = now.Add(took)
		p.note(now, 1<<20, took/2, 8)
		widest = max(widest, p.width())
	}
	return widest, p.width()
}

func TestPaceWidensWhereConnectionsAreSlow(t *testing.T) {
	if _, last := simulate(60e6, 1e9, 2<<30); last != 8 {
		t.Errorf("at 60 MB/s a connection the width is %d, want 8", last)
	}
}

func TestPaceStaysNarrowWhereOneConnectionSuffices(t *testing.T) {
	widest, last := simulate(1600e6, 1600e6, 16<<30)
	if widest > 2 || last > 2 {
		t.Errorf("at 1.6 GB/s a connection the width went to %d and is %d", widest, last)
	}
}

func TestWindowGrowsOnlyWithReading(t *testing.T) {
	w := window{next: 4096, ahead: firstRange, step: firstRange}
	if n := w.due(64 << 20); n != 0 {
		t.Errorf("after 4 KiB of %d bytes, %d more are due", firstRange, n)
	}
	w.next = firstRange
	var ranges []int64
	for range 5 {
		n := w.due(64 << 20)
		ranges = append(ranges, n)
		w.asked(n)
		w.next = w.ahead
	}
	for i, n := range ranges {
		if want := min(4*firstRange, int64(maxRange)); i == 0 && n != want || i > 0 && n != maxRange {
			t.Errorf("ranges are %v", ranges)
		}
	}
}

func TestWindowKeepsToItsShare(t *testing.T) {
	for _, most := range []int64{2 << 20, 5 << 20, 20 << 20} {
		w := window{step: firstRange / 4, pace: pace{w: 8}}
		for range 1000 {
			for n := w.due(most); n > 0; n = w.due(most) {
				w.asked(n)
			}
			if ahead := w.ahead - w.next; ahead > most {
				t.Fatalf("%d bytes ahead, allowed are %d", ahead, most)
			}
			w.next = min(w.next+128<<10, w.ahead)
		}
		if w.next < 20<<20 {
			t.Errorf("with %d bytes ahead, the reader got to %d only", most, w.next)
		}
	}
}
