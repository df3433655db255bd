package cache

import "time"

// stopwatch adds up the time between readings of a clock. It goes by the
// monotonic clock, which stands still while a laptop sleeps, or the clock on
// the wall, which somebody may set back: whichever went further.
type stopwatch struct {
	last  time.Time
	total time.Duration
}

func (w *stopwatch) read(now time.Time) time.Duration {
	w.total += further(now.Sub(w.last), now.Round(0).Sub(w.last.Round(0)))
	w.last = now
	return w.total
}

func further(monotonic, wall time.Duration) time.Duration { return max(monotonic, wall, 0) }
