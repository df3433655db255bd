package transfer

const (
	// sweepObject is up to which size an object may be fetched as a whole for
	// the sake of random reads.
	sweepObject = 512 << 20

	// missWorth is how many bytes could have come in the time of one request,
	// roughly, from servers near and far. Having paid that much for misses, as
	// much again for fewer of them at most doubles the cost.
	missWorth = 2 << 20

	// missesPerStep is after how many misses twice as many blocks are fetched.
	missesPerStep = 8

	// sweepWindow is over how many reads the cache is watched.
	sweepWindow = 64

	// sweepSlack is how much may be on its way into the cache. What was fetched
	// twice, once alone and once with its neighbours, counts twice.
	sweepSlack = 4 << 20
)

// sweep decides how much of an object a random read that misses the cache
// brings: one block at first, and twice as much the longer it goes on, as long
// as the cache turns out to hold what was fetched.
type sweep struct {
	misses  int64
	fetched int64 // bytes
	reads   int64 // in this window
	missed  int64 // in this window
	before  int64 // fetched before this window
	futile  bool  // the cache does not hold what was fetched
}

// read notes a read of a block.
func (s *sweep) read() { s.reads++ }

// miss notes that the blocks from i to last must be fetched, of an object of
// size bytes, and returns which n blocks to get, from first on. held is how
// many bytes the cache holds or could hold.
func (s *sweep) miss(i, last, size, block, held int64) (first, n int64) {
	s.watch(size)
	s.futile = s.futile || s.fetched > 2*held+sweepSlack
	s.misses++
	s.missed++
	n = 1
	if !s.futile && size <= sweepObject {
		most := min(missWorth*s.misses-s.fetched, maxRange) / block
		for n*2 <= most && n < 1<<min(s.misses/missesPerStep, 30) {
			n *= 2
		}
	}
	first = i - i%n
	n = min(max(n, last+1-first), (size+block-1)/block-first)
	s.fetched += n * block
	return first, n
}

// watch compares, from time to time, how many reads hit with how many should
// have if all that was fetched before were still there.
func (s *sweep) watch(size int64) {
	if s.reads < sweepWindow {
		return
	}
	held := min(float64(s.before)/float64(max(size, 1)), 1)
	hits := 1 - float64(s.missed)/float64(s.reads)
	s.futile = s.futile || held > 0.25 && hits < held/2
	s.reads, s.missed, s.before = 0, 0, s.fetched
}
