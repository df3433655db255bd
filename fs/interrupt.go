package fs

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"sync"
	"time"
)

// The kernel sends an interrupt for every signal that comes while a program
// waits, also for those that its runtime handles by the hundred (Go's
// preemption, a child that ended, a timer). A call on a local disk is never
// interrupted by such a signal, and a false "interrupted" from close would say
// that something is not saved. So an interrupt only makes us look what the
// signal is.

// call is the context of one request of the kernel. It ends when the program
// that waits for it is being killed; a call that only asks ends also when
// somebody wants the program to stop (SIGINT and the like) and it will handle
// that.
type call struct {
	interrupted <-chan struct{}
	life        <-chan struct{} // closed when the mount is over
	thread      uint32
	asks        bool

	mu      sync.Mutex
	done    chan struct{} // guarded by mu; made when somebody waits
	over    chan struct{} // guarded by mu; closed at the end
	err     error         // guarded by mu
	watched sync.WaitGroup
}

// asking is for requests that change nothing, which a program may repeat.
func (f *FS) asking(interrupted <-chan struct{}, thread uint32) *call {
	return &call{interrupted: interrupted, life: f.life.Done(), thread: thread, asks: true}
}

// changing is for requests that a program must not have to repeat.
func (f *FS) changing(interrupted <-chan struct{}, thread uint32) *call {
	return &call{interrupted: interrupted, life: f.life.Done(), thread: thread}
}

// end must be called when the request has been worked on.
func (c *call) end() {
	c.mu.Lock()
	if c.over != nil {
		close(c.over)
	}
	c.mu.Unlock()
	c.watched.Wait()
}

// Done implements [context.Context]. Only now that somebody waits is a
// goroutine worth while.
func (c *call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done, c.over = make(chan struct{}), make(chan struct{})
		c.watched.Add(1)
		go c.watch(c.done, c.over)
	}
	return c.done
}

// lookAgain is how often a waiting program is looked at once a signal has come:
// the kernel tells only of the first.
const lookAgain = 200 * time.Millisecond

func (c *call) watch(done, over chan struct{}) {
	defer c.watched.Done()
	if !c.stopped(over) {
		return
	}
	c.mu.Lock()
	c.err = context.Canceled
	c.mu.Unlock()
	close(done)
}

// stopped waits, and reports whether the call is to end before it is over.
func (c *call) stopped(over <-chan struct{}) bool {
	select {
	case <-c.interrupted:
	case <-c.life:
		return true
	case <-over:
		return false
	}
	for !c.ends() {
		select {
		case <-time.After(lookAgain):
		case <-c.life:
			return true
		case <-over:
			return false
		}
	}
	return true
}

// ends tells whether the signals that the waiting thread has not seen yet end
// the call.
func (c *call) ends() bool {
	s, ok := signalsOf(c.thread)
	if !ok {
		return true // gone, or in another pid namespace: the kernel's word counts
	}
	return s.end(c.asks)
}

// Err implements [context.Context].
func (c *call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Deadline implements [context.Context].
func (c *call) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements [context.Context].
func (c *call) Value(any) any { return nil }

// Sets of signals, as /proc shows them: bit n-1 is signal n of Linux.
const (
	stopping = 1<<0 | 1<<1 | 1<<2 | 1<<14 // SIGHUP, SIGINT, SIGQUIT, SIGTERM

	// deadly are all but those that do nothing or stop a process if they are not
	// handled: SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH.
	deadly = ^uint64(1<<16 | 1<<17 | 1<<18 | 1<<19 | 1<<20 | 1<<21 | 1<<22 | 1<<27)
)

type signals struct{ pending, blocked, ignored, caught uint64 }

// end tells whether the pending signals end a call.
func (s signals) end(asks bool) bool {
	arriving := s.pending &^ s.blocked &^ s.ignored
	return arriving&^s.caught&deadly != 0 || asks && arriving&s.caught&stopping != 0
}

// signalsOf reads a thread's signals. It fails if there is no such thread, or
// none that we can see.
func signalsOf(thread uint32) (s signals, ok bool) {
	if thread == 0 {
		return s, false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(int(thread)) + "/status")
	if err != nil {
		return s, false
	}
	return parseSignals(status), true
}

// parseSignals reads the format of proc_pid_status(5).
func parseSignals(status []byte) (s signals) {
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err != nil {
			continue
		}
		switch string(name) {
		case "SigPnd", "ShdPnd":
			s.pending |= set
		case "SigBlk":
			s.blocked |= set
		case "SigIgn":
			s.ignored |= set
		case "SigCgt":
			s.caught |= set
		}
	}
	return s
}
