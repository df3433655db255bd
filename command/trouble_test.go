package command

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A request without an answer is told of, as long as it has none, from its last
// movement on.
func TestSilenceOfTheServerIsTold(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tr := newTrouble()
	tr.now = func() time.Time { return now }
	said := func(want string) {
		t.Helper()
		if got := tr.report().Silent; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, body := range []io.Reader{nil, bytes.NewReader(make([]byte, 10))} {
		r, err := http.NewRequest(http.MethodPut, "http://server/key", body)
		if err != nil {
			t.Fatal(err)
		}
		tr.watch(roundTrip(func(r *http.Request) (*http.Response, error) {
			said("")
			now = now.Add(time.Second)
			said("")
			now = now.Add(11500 * time.Millisecond)
			said("the server has not answered a request for 12s")
			if body == nil {
				return nil, errors.New("no")
			}
			if _, err := io.ReadFull(r.Body, make([]byte, 10)); err != nil { // it moves
				t.Error(err)
			}
			said("")
			now = now.Add(3 * time.Second)
			said("the server has not answered a request for 3s")
			return &http.Response{Body: http.NoBody}, nil
		})).RoundTrip(r)
		said("")
	}
}

// The last failure is told until the same key has had another answer.
func TestLastFailureIsTold(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tr := newTrouble()
	later := 9 * time.Second
	tr.now = func() time.Time { return now.Add(later) }
	busy := &s3.Error{Op: s3.OpPut, Key: "a", Kind: s3.ErrThrottled, Code: "SlowDown", Status: 503, RequestID: "R1"}
	event := func(key string, err error) { tr.see(s3.Event{Op: s3.OpPut, Key: key, Start: now, Err: err}) }
	told := func() bool {
		return strings.HasPrefix(tr.report().Failed, "9s ago: ") && strings.Contains(tr.report().Failed, busy.Error())
	}

	event("b", &s3.Error{Op: s3.OpPut, Key: "b", Kind: s3.ErrExists})
	if got := tr.report().Failed; got != "" {
		t.Errorf("an answer was taken for trouble: %s", got)
	}
	event("a", busy)
	event("b", nil)
	event("a", &s3.Error{Op: s3.OpPut, Key: "a", Kind: s3.ErrCanceled})
	if !told() {
		t.Errorf("the failure is forgotten: %q", tr.report().Failed)
	}
	later = 2 * time.Minute
	if told() || tr.report().Failed != "" {
		t.Errorf("told after two minutes: %q", tr.report().Failed)
	}
	later = 9 * time.Second
	event("a", nil)
	if got := tr.report().Failed; got != "" {
		t.Errorf("still told after a success: %s", got)
	}
}
