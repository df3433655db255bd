package transfer

import (
	"math"
	"time"
)

const (
	// pieceSize is the most that one buffer of a Reader holds. Ranges are cut
	// at multiples of it.
	pieceSize = maxBuffer

	// firstRange is what is asked for before anything is known: 1 MiB plus the
	// 128 KiB that the kernel reads ahead, so that a program that reads 1 MiB
	// never waits for a second request.
	firstRange = 1<<20 + 128<<10

	// maxRange is the longest range of one request. At 1.6 GB/s it keeps a
	// connection busy for 5 ms, so that the next one is asked for in good time,
	// and a request a range costs the server little.
	maxRange = 8 << 20
)

// window says how far and how widely to read ahead for one sequential reader.
// Ranges grow fourfold from firstRange to maxRange as reading goes on, so that
// what is read in vain is never much more than what was read.
type window struct {
	next  int64 // end of the furthest read
	ahead int64 // end of what was asked for
	step  int64 // length of the last range
	pace  pace
}

// due returns the length of the range to ask for now, 0 if none is due. width
// ranges are to be under way at once; most bounds what may lie ahead of the
// reader.
func (w *window) due(most int64, width int) int64 {
	step := min(4*w.step, maxRange, max(most/2, pieceSize))
	left := w.ahead - w.next
	switch {
	case left+step > most && left > 0:
		return 0
	case w.step < step && left > w.step/2:
		return 0 // not yet known to be worth more
	case left > step*int64(width):
		return 0
	}
	return step
}

// asked notes that n bytes from ahead on were asked for.
func (w *window) asked(n int64) {
	w.ahead += n
	w.step = min(max(n, w.step), maxRange)
}

// pace is how fast a program reads: the bytes it takes in the time that it does
// not spend waiting for them.
type pace struct {
	speed  float64       // bytes per second; 0 is not known yet
	start  time.Time     // of the measurement
	bytes  int64         // read in it
	waited time.Duration // in it
}

const (
	paceBytes = 4 << 20 // a measurement is at least so long

	// fastest is the fastest program: more than FUSE carries on two cores. It
	// stands for programs that always wait, because the kernel asks ahead.
	fastest = 2e9
)

// note adds to the measurement.
func (p *pace) note(now time.Time, bytes int64, waited time.Duration) {
	if p.start.IsZero() {
		p.start = now
	}
	p.bytes += bytes
	p.waited += waited
	if p.bytes < paceBytes {
		return
	}
	busy := max(now.Sub(p.start)-p.waited, 0).Seconds()
	speed := fastest
	if float64(p.bytes) < fastest*busy {
		speed = float64(p.bytes) / busy
	}
	if p.speed != 0 {
		speed = (p.speed + speed) / 2
	}
	*p = pace{speed: speed, start: now}
}

// wanted is the speed to read ahead for.
func (p *pace) wanted() float64 {
	if p.speed == 0 {
		return fastest
	}
	return p.speed
}

// link is what is known of the connections to the server: about the best that
// was seen.
type link struct {
	latency float64 // seconds until an answer begins
	rate    float64 // bytes per second that one connection brings
}

// sample is the least answer whose speed says something.
const sample = 1 << 20

// note takes in an answer of n bytes that began after wait and took took.
func (l *link) note(n int64, wait, took time.Duration) {
	if n < sample || took <= 0 {
		return
	}
	rate := float64(n) / took.Seconds()
	if l.rate == 0 {
		l.rate, l.latency = rate, wait.Seconds()
		return
	}
	// The best counts: connections at the same time slow each other down, and
	// more of them would not help.
	l.rate = max(rate, l.rate-(l.rate-rate)/32)
	l.latency = min(wait.Seconds(), l.latency+(wait.Seconds()-l.latency)/32)
}

// width returns how many ranges must be under way at once to bring wanted bytes
// per second, at most most. One is best where it suffices: every connection
// costs processor time.
func (l *link) width(wanted float64, most int) int {
	if l.rate == 0 {
		return 1
	}
	one := maxRange / (l.latency + maxRange/l.rate)
	return int(min(max(math.Ceil(wanted/one), 1), float64(most)))
}
