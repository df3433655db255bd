package transfer

import (
	"testing"
	"time"
)

func TestWidthFollowsTheConnection(t *testing.T) {
	for _, tt := range []struct {
		name          string
		latency, rate float64
		wanted        float64
		width         int
	}{
		{"loopback", 0.0005, 1.6e9, fastest, 2},
		{"60 MB/s a connection, 25 ms away", 0.025, 60e6, fastest, 8},
		{"fast, 25 ms away", 0.025, 1.6e9, fastest, 8},
		{"a film", 0.025, 60e6, 5e6, 1},
		{"a slow tape", 0.025, 60e6, 150e6, 3},
	} {
		var l link
		for range 100 {
			n := int64(maxRange)
			l.note(n, time.Duration(tt.latency*1e9), time.Duration(float64(n)/tt.rate*1e9))
		}
		if got := l.width(tt.wanted, 8); got != tt.width {
			t.Errorf("%s: width %d, want %d", tt.name, got, tt.width)
		}
	}
}

func TestLinkIsTheBestSeenAndForgets(t *testing.T) {
	var l link
	l.note(maxRange, 0, 10*time.Millisecond)
	l.note(maxRange, 0, 20*time.Millisecond)
	if got := l.rate / (maxRange * 100); got < 0.95 {
		t.Errorf("one slow answer brought the rate to %v of the best", got)
	}
	for range 200 {
		l.note(maxRange, 0, 20*time.Millisecond)
	}
	if got := l.rate / (maxRange * 50); got > 1.05 {
		t.Errorf("after many slow answers the rate is %v of theirs", got)
	}
	before := l
	l.note(sample-1, time.Hour, time.Hour)
	if l != before {
		t.Error("a small answer counts")
	}
}

func TestPaceLeavesWaitingOut(t *testing.T) {
	var p pace
	now := time.Unix(0, 0)
	for range 100 {
		now = now.Add(30 * time.Millisecond)
		p.note(now, 1<<20, 20*time.Millisecond)
	}
	if got := p.wanted() / (100 << 20); got < 0.9 || got > 1.1 {
		t.Errorf("1 MiB each 10 ms, apart from waiting, is a speed of %v times that", got)
	}
	p = pace{}
	for range 100 {
		now = now.Add(time.Millisecond)
		p.note(now, 1<<20, time.Millisecond)
	}
	if p.wanted() != fastest {
		t.Errorf("one who always waits has a speed of %v", p.wanted())
	}
}

func TestWindowGrowsOnlyWithReading(t *testing.T) {
	w := window{next: 4096, ahead: firstRange, step: firstRange}
	if n := w.due(64<<20, 1); n != 0 {
		t.Errorf("after 4 KiB of %d bytes, %d more are due", firstRange, n)
	}
	w.next = firstRange
	var ranges []int64
	for range 5 {
		n := w.due(64<<20, 1)
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
		w := window{step: firstRange / 4}
		for range 1000 {
			for n := w.due(most, 8); n > 0; n = w.due(most, 8) {
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
