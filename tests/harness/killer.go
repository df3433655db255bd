package harness

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
)

// Moment is when, in the life of a request, the program dies.
type Moment int

// The moments.
const (
	Before Moment = iota // the server never sees the request
	During               // half of its body arrives
	After                // the server has done it and the answer is lost
)

func (m Moment) String() string { return [...]string{"before", "during", "after"}[m] }

// Killer kills a process at its n-th request from now; for [Proxy.Harm].
type Killer struct {
	Moment Moment
	At     int64 // the request, from 1 on

	next  http.RoundTripper
	of    func(*http.Request) bool
	pid   chan int
	seen  atomic.Int64
	under sync.WaitGroup // requests that the server may have; it may do them after their sender is dead
	done  chan struct{}  // closed when the process is killed
}

// NewKiller counts the requests that are of the process to be killed, nil being all,
// and sends those that it lets through to next.
func NewKiller(next http.RoundTripper, of func(*http.Request) bool, at int, when Moment) *Killer {
	return &Killer{Moment: when, At: int64(at), next: next, of: of, pid: make(chan int, 1), done: make(chan struct{})}
}

// Aim says which process it is, once.
func (k *Killer) Aim(pid int) { k.pid <- pid }

var errKilled = errors.New("the client was killed")

// RoundTrip sends the request on, or kills its sender.
func (k *Killer) RoundTrip(r *http.Request) (*http.Response, error) {
	if k.of != nil && !k.of(r) {
		return k.next.RoundTrip(r)
	}
	k.under.Add(1)
	defer k.under.Done()
	n := k.seen.Add(1)
	switch {
	case n < k.At: // also when its sender dies meanwhile, the answer is waited for
		return k.next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
	case n > k.At:
		<-k.done // a process that lives on would take this for trouble that passes
		return nil, errKilled
	}
	switch k.Moment {
	case During:
		if r.ContentLength > 1 {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), failing{}))
			k.next.RoundTrip(r)
		}
	case After:
		if resp, err := k.next.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}
	pid := <-k.pid
	close(k.done) // first, for an operation that the death ends is then looked at
	syscall.Kill(pid, syscall.SIGKILL)
	return nil, errKilled
}

// Seen is how many requests of the process came.
func (k *Killer) Seen() int { return int(k.seen.Load()) }

// Struck says whether the process was killed at the request.
func (k *Killer) Struck() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// Wait returns when the server has done all that the process asked it for.
func (k *Killer) Wait() { k.under.Wait() }

// failing is the end of a body whose sender has died.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errKilled }
