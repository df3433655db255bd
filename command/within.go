package command

import (
	"context"
	"time"
)

// within runs f and gives up on it after d. A mount whose program is stopped
// never answers a system call, and a call that waits for it can't be ended: its
// goroutine then lasts as long as the program.
func within[T any](d time.Duration, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-t.C:
		var none T
		return none, context.DeadlineExceeded
	}
}
