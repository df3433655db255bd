package command

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithinGivesUpOnWhatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		began := time.Now()
		_, err := within(5*time.Second, func() (int, error) {
			<-never
			return 1, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(never) // so that its goroutine ends with the test
		n, err := within(5*time.Second, func() (int, error) {
			time.Sleep(4 * time.Second)
			return 2, nil
		})
		if n != 2 || err != nil {
			t.Errorf("within the time: %d, %v", n, err)
		}
	})
}
