package snapshot

import (
	"errors"
	"testing"
	"time"
)

// TestInterruptedRunIsFinishedAfterMidnight has a run of 23:00 go on the next
// day: as long as the snapshot is still of one day, by itself, and later by order.
func TestInterruptedRunIsFinishedAfterMidnight(t *testing.T) {
	only := CreateOptions{From: "dir1/"}
	for _, test := range []struct {
		name    string
		after   time.Duration
		between *CreateOptions // a snapshot made meanwhile
		o       CreateOptions
		resumes bool
		err     error
	}{
		{name: "two hours later", after: 2 * time.Hour, resumes: true},
		{name: "two hours later, anew", after: 2 * time.Hour, o: CreateOptions{NoResume: true}},
		{name: "two hours later, of something else", after: 2 * time.Hour, o: only},
		{name: "two hours later, and a newer is there", after: 2 * time.Hour, between: &CreateOptions{NoResume: true}},
		{name: "two hours later, and one of something else is there", after: 2 * time.Hour, between: &only, resumes: true},
		{name: "the next night", after: 23*time.Hour + 59*time.Minute},
		{name: "days later, by order", after: 99 * time.Hour, o: CreateOptions{Resume: true}, resumes: true},
		{name: "of something else, by order", after: 2 * time.Hour, o: CreateOptions{Resume: true, From: "dir1/"}, err: ErrRefused},
		{name: "by order, and a newer is there", after: 2 * time.Hour, between: &CreateOptions{NoResume: true}, o: CreateOptions{Resume: true}, err: ErrNoSnapshot},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(9)
			w.clock.advance(14 * time.Hour)
			interrupted := w.interrupt(CreateOptions{})
			if test.between != nil {
				w.create(*test.between)
			}
			w.clock.advance(test.after)
			made, err := w.store().Create(t.Context(), test.o)
			switch {
			case test.err != nil:
				if !errors.Is(err, test.err) {
					t.Errorf("got %+v and %v, want %v", made, err, test.err)
				}
			case err != nil:
				t.Error(err)
			case made.Resumed != test.resumes, (made.ID == interrupted) != test.resumes, (made.Copies == 0) != test.resumes:
				t.Errorf("%s with %d copies after %s, resumed: %v", made.ID, made.Copies, interrupted, made.Resumed)
			}
		})
	}
}

func TestNothingToResumeIsAnError(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	if _, err := w.store().Create(t.Context(), CreateOptions{Resume: true}); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("got %v", err)
	}
}
