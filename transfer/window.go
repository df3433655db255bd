package transfer

import "time"

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
// what is read in vain is never much more than what was read. width ranges are
// under way at once; see pace.
type window struct {
	next  int64 // end of the furthest read
	ahead int64 // end of what was asked for
	step  int64 // length of the last range
	pace  pace
}

// due returns the length of the range to ask for now, 0 if none is due. most
// bounds what may lie ahead of the reader.
func (w *window) due(most int64) int64 {
	step := min(4*w.step, maxRange, max(most/2, pieceSize))
	left := w.ahead - w.next
	switch {
	case left+step > most && left > 0:
		return 0
	case w.step < step && left > w.step/2:
		return 0 // not yet known to be worth more
	case left > step*int64(w.pace.width()):
		return 0
	}
	return step
}

// asked notes that n bytes from ahead on were asked for.
func (w *window) asked(n int64) {
	w.ahead += n
	w.step = min(max(n, w.step), maxRange)
}

// pace finds out how many ranges should be under way at once. One connection is
// best where it is as fast as the reader: more cost processor time. So it
// widens only when the reader spends much of its time waiting, and takes that
// back when it did not help.
type pace struct {
	w       int           // 0 is 1
	trial   bool          // w was doubled, and whether that helps is not known yet
	before  float64       // bytes per second before the trial
	rest    int           // epochs to go without a trial
	resting int           // how long the next rest is to be
	start   time.Time     // of the epoch
	bytes   int64         // read in the epoch
	waited  time.Duration // in the epoch
}

const (
	epochBytes  = 16 << 20              // an epoch is at least so long …
	epochTime   = 20 * time.Millisecond // … and takes at least so long
	muchWaiting = 0.25                  // of an epoch
	littleGain  = 1.2                   // a wider window must be that much faster
)

func (p *pace) width() int { return max(p.w, 1) }

// note adds to the epoch, and at its end decides the width; most bounds it.
func (p *pace) note(now time.Time, bytes int64, waited time.Duration, most int) {
	if p.start.IsZero() {
		p.start = now
	}
	p.bytes += bytes
	p.waited += waited
	took := now.Sub(p.start)
	if p.bytes < epochBytes || took < epochTime {
		return
	}
	rate := float64(p.bytes) / took.Seconds()
	share := p.waited.Seconds() / took.Seconds()
	p.start, p.bytes, p.waited = now, 0, 0
	switch {
	case p.trial && rate < littleGain*p.before:
		p.trial = false
		p.w = p.width() / 2
		p.resting = min(2*p.resting+4, 256)
		p.rest = p.resting
	case p.rest > 0:
		p.trial = false
		p.rest--
	case share > muchWaiting && p.width() < most:
		p.trial, p.before = true, rate
		p.w = min(2*p.width(), most)
	default:
		p.trial = false
	}
}
