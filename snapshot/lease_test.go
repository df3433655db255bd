package snapshot

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// inBubble runs a test in a bubble where hours pass at once, with a store whose
// bucket lives by the bubble's clock.
func inBubble(t *testing.T, test func(t *testing.T, s *Store, mem *s3test.Mem)) {
	synctest.Test(t, func(t *testing.T) {
		mem := s3test.NewMem(s3test.MemConfig{})
		s, err := Open(Config{Source: mem})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, mem)
	})
}

func TestLeaseIsKeptWhileItIsHeld(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, _ *s3test.Mem) {
		l, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("a", "work"), false)
		if err != nil {
			t.Fatal(err)
		}
		err = l.hold(t.Context(), func(ctx context.Context) error {
			time.Sleep(3 * time.Hour)
			if _, _, err := s.acquire(ctx, s.at.lock(), s.newClaim("b", "other work"), false); !errors.Is(err, ErrLocked) {
				t.Errorf("after hours another gets %v", err)
			}
			return l.check()
		})
		if err != nil {
			t.Error(err)
		}
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("c", "later work"), false); err != nil {
			t.Errorf("after the release: %v", err)
		}
	})
}

func TestLeaseThatWasTakenStopsTheWork(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, _ *s3test.Mem) {
		l, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("a", "work"), false)
		if err != nil {
			t.Fatal(err)
		}
		err = l.hold(t.Context(), func(ctx context.Context) error {
			if _, old, err := s.acquire(ctx, s.at.lock(), s.newClaim("b", "other work"), true); err != nil || old.Run != "a" {
				t.Errorf("taking over: %v, %v", old, err)
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v", err)
		}
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
		if c, _, alive, err := s.inspect(t.Context(), s.at.lock()); err != nil || !alive || c.Run != "b" {
			t.Errorf("the lease is %v, alive %v, %v", c, alive, err)
		}
	})
}

func TestHolderThatCannotRenewStopsBeforeOthersMayBegin(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, mem *s3test.Mem) {
		faulty := s3test.NewFaulty(mem, s3test.Plan{})
		cut, err := Open(Config{Source: faulty})
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := cut.acquire(t.Context(), s.at.lock(), s.newClaim("a", "work"), false)
		if err != nil {
			t.Fatal(err)
		}
		faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail}}}})
		start := time.Now()
		err = l.hold(t.Context(), func(ctx context.Context) error {
			for l.check() == nil {
				time.Sleep(time.Second)
			}
			return l.check()
		})
		if !errors.Is(err, ErrLost) || time.Since(start) > leaseGrace+time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("b", "work"), false); !errors.Is(err, ErrLocked) {
			t.Errorf("another begins at once: %v", err)
		}
		time.Sleep(leaseDead - time.Since(start))
		if _, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("b", "work"), false); err != nil {
			t.Errorf("nobody may begin when it is dead: %v", err)
		}
	})
}

func TestAbandonedLeaseIsFreeAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, _ *s3test.Mem) {
		l, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("a", "work"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.abandon(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("b", "work"), false); err != nil {
			t.Error(err)
		}
	})
}

// TestOnlyOneOfManyGetsALease races for one that is dead.
func TestOnlyOneOfManyGetsALease(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	if _, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("dead", "work"), false); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(leaseDead)
	won := make(chan error, 20)
	for range cap(won) {
		go func() {
			_, _, err := s.acquire(context.Background(), s.at.lock(), s.newClaim(s.cfg.NewRun(), "work"), false)
			won <- err
		}()
	}
	winners := 0
	for range cap(won) {
		if err := <-won; err == nil {
			winners++
		} else if !errors.Is(err, ErrLocked) && !errors.Is(err, s3.ErrExists) {
			t.Error(err)
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}
