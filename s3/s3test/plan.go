package s3test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Plan says which calls fail and how. It is a value: the same plan over the
// same calls gives the same faults.
type Plan struct {
	Seed  uint64 // of the draws for Rule.P
	Rules []Rule // the first that fires decides
	Crash Crash

	// Sleep waits for Fault.Delay; nil waits in real time.
	Sleep func(ctx context.Context, d time.Duration) error

	rand *rand.Rand
}

// Rule makes some calls fail. Its zero fields match everything: Rule{Fault: f}
// is every call.
type Rule struct {
	Op    string  // one of the s3.Op… names
	Key   string  // exact; of a listing it is the prefix asked for
	Below string  // a prefix of the key
	Nth   int     // only the n-th call that matches, from 1 on, …
	Times int     // … or this many of them from the first (from Nth, if set) on
	P     float64 // probability; 0 is always
	Fault Fault
}

// Action is what goes wrong with a call.
type Action string

// The actions. Where one makes no sense for an operation (to cut a Head),
// nothing goes wrong.
const (
	Pass  Action = ""      // nothing; for a Fault that is only a Delay
	Fail  Action = "fail"  // fails and is not applied
	Drop  Action = "drop"  // is applied, and the answer gets lost
	Hang  Action = "hang"  // never answers; ends with its context
	Empty Action = "empty" // a listing succeeds with nothing in it
	// Cut is an error in the body after Fault.After bytes: Get delivers those,
	// Put and Part are not applied.
	Cut Action = "cut"
	// Truncate silently ends the body after Fault.After bytes.
	Truncate Action = "truncate"
	// Flip silently inverts the lowest bit of the byte Fault.After of the body.
	Flip Action = "flip"
)

// Fault is what happens to one call.
type Fault struct {
	Do    Action
	Kind  error // of Fail, Drop and Cut; nil is s3.ErrUnavailable
	After int64 // bytes; see Action
	Delay time.Duration
}

// Crash models kill -9: at call number At and after it, nothing is applied.
type Crash struct {
	At   int // from 1 on; 0 is never
	When Moment
}

// Moment is where in a call a crash happens.
type Moment int

// The moments of a crash.
const (
	BeforeCall Moment = iota // the call is not applied
	AfterCall                // the call is applied and not answered
	InBody                   // half the body got through, the call is not applied; as BeforeCall without a body
)

// half stands for half the length of a body in Fault.After.
const half = -1

// fault is what the crash does to the call that it hits.
func (c Crash) fault(op string) Fault {
	hasBody := op == s3.OpGet || op == s3.OpPut || op == s3.OpPart
	switch {
	case c.When == AfterCall:
		return Fault{Do: Drop}
	case c.When == InBody && hasBody:
		return Fault{Do: Cut, After: half}
	}
	return Fault{Do: Fail}
}

// start returns a copy of the plan that is ready to run.
func (p Plan) start() Plan {
	p.rand = rand.New(rand.NewPCG(p.Seed, 0))
	if p.Sleep == nil {
		p.Sleep = sleep
	}
	return p
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r Rule) matches(c Call) bool {
	return (r.Op == "" || r.Op == c.Op) && (r.Key == "" || r.Key == c.Key) && strings.HasPrefix(c.Key, r.Below)
}

// fires says whether a rule that matches for the n-th time, from 1 on, applies.
func (p Plan) fires(r Rule, n int) bool {
	return isTurn(r.Nth, r.Times, n) && (r.P == 0 || p.rand.Float64() < r.P)
}

// isTurn says whether the n-th match is one of those that a rule means.
func isTurn(nth, times, n int) bool {
	first, last := max(nth, 1), 0
	switch {
	case times > 0:
		last = first + times - 1
	case nth > 0:
		last = nth
	}
	return n >= first && (last == 0 || n <= last)
}

func (f Fault) error(op, key string) error {
	e := &s3.Error{Op: op, Key: key, Kind: f.Kind, Err: errFault}
	switch {
	case f.Kind == nil:
		e.Kind = s3.ErrUnavailable
	case f.Kind == s3.ErrThrottled:
		e.Code, e.Status = "SlowDown", 503
	case f.Kind == s3.ErrDenied:
		e.Code, e.Status = "AccessDenied", 403
	case f.Kind == s3.ErrChanged || f.Kind == s3.ErrExists:
		e.Code, e.Status = "PreconditionFailed", 412
	}
	return e
}

// errFault marks the failures that a plan asked for.
var errFault = fmt.Errorf("fault by plan")
