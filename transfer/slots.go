package transfer

// slots keeps the books of one region: which slot is lent, free with its memory
// resident, or cold. Not safe for concurrent use.
type slots struct {
	mem   *region
	count int32
	state []slotState // grows up to count as slots are first used
	free  slotList    // resident, most recently freed first
	queue bool        // the one freed first is lent first
	cold  []int32     // given back to the system
}

type slotState struct {
	next, prev int32 // in slots.free; slot number + 1, 0 is none
	free       bool
}

type slotList struct {
	first, last int32 // slot number + 1, 0 is none
	n           int
}

// take lends a slot. resident tells that its memory was, and now is no longer,
// free. The slot after number after is preferred, -1 is none: bytes that
// follow each other in an object then often do so in memory.
func (s *slots) take(after int32) (i int32, resident bool) {
	if n := after + 1; after >= 0 && int(n) < len(s.state) && s.state[n].free {
		s.unlink(n)
		return n, true
	}
	if s.free.n == 0 {
		return s.takeCold(), false
	}
	i = s.free.first - 1 // likely in the processor's cache still
	if s.queue {
		i = s.free.last - 1
	}
	s.unlink(i)
	return i, true
}

// takeCold lends a slot without memory. There always is one, because count
// slots fill the whole budget.
func (s *slots) takeCold() int32 {
	if n := len(s.cold); n > 0 {
		i := s.cold[n-1]
		s.cold = s.cold[:n-1]
		return i
	}
	if len(s.state) == int(s.count) {
		panic("transfer: more buffers lent than the budget holds")
	}
	s.state = append(s.state, slotState{})
	return int32(len(s.state) - 1)
}

// put takes back a slot that was lent.
func (s *slots) put(i int32) {
	s.state[i] = slotState{next: s.free.first, free: true}
	if s.free.first != 0 {
		s.state[s.free.first-1].prev = i + 1
	} else {
		s.free.last = i + 1
	}
	s.free.first = i + 1
	s.free.n++
}

// chill gives the memory of one free slot back to the system; false if none is
// free.
func (s *slots) chill() bool {
	if s.free.n == 0 {
		return false
	}
	i := s.free.first - 1
	s.unlink(i)
	s.mem.giveBack(i)
	s.cold = append(s.cold, i)
	return true
}

func (s *slots) unlink(i int32) {
	st := &s.state[i]
	if st.prev != 0 {
		s.state[st.prev-1].next = st.next
	} else {
		s.free.first = st.next
	}
	if st.next != 0 {
		s.state[st.next-1].prev = st.prev
	} else {
		s.free.last = st.prev
	}
	*st = slotState{}
	s.free.n--
}
