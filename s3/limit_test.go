package s3_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func TestLimitAndObserveConform(t *testing.T) {
	s3test.Run(t, func(t *testing.T) s3.Bucket {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		return s3.Retry(s3.Limit(s3.Observe(m, func(s3.Event) {}), s3.Limits{Control: 2, Data: 2}), s3.RetryConfig{})
	}, s3test.Features{SmallParts: true})
}

func TestListingDoesNotWaitForDownloads(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{})
	m.PutBytes("a", []byte("x"))
	b := s3.Limit(m, s3.Limits{Control: 1, Data: 2})
	for range 2 {
		body, err := b.Get(t.Context(), "a", s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
	}
	if _, err := b.ListPage(t.Context(), s3.ListInput{}); err != nil {
		t.Error(err)
	}
	if _, err := b.Put(t.Context(), "b", strings.NewReader("x"), s3.PutOptions{}); err != nil {
		t.Errorf("an upload waits for downloads: %v", err)
	}
}

func TestDownloadsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := s3test.NewMem(s3test.MemConfig{})
		m.PutBytes("a", []byte("x"))
		b := s3.Limit(m, s3.Limits{Data: 1})
		first, err := b.Get(t.Context(), "a", s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := b.Get(ctx, "a", s3.GetOptions{})
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, s3.ErrCanceled) {
			t.Errorf("while waiting: %v", err)
		}
		go func() {
			second, err := b.Get(t.Context(), "a", s3.GetOptions{})
			if err == nil {
				second.Close()
			}
			done <- err
		}()
		synctest.Wait()
		if m.OpenBodies() != 1 {
			t.Errorf("%d downloads at once", m.OpenBodies())
		}
		first.Close()
		first.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// A failed Get gives its turn back as well.
		for range 3 {
			if _, err := b.Get(t.Context(), "missing", s3.GetOptions{}); !errors.Is(err, s3.ErrNotFound) {
				t.Error(err)
			}
		}
	})
}

func TestObserveSeesEveryRequest(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	var got []s3.Event
	b := s3.Observe(m, func(e s3.Event) { got = append(got, e) })
	ctx := t.Context()
	b.Put(ctx, "a", strings.NewReader("12345"), s3.PutOptions{})
	body, err := b.Get(ctx, "a", s3.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	body.Read(make([]byte, 3))
	body.Close()
	body.Close()
	b.Get(ctx, "missing", s3.GetOptions{})
	var targets []s3.Target
	for range 1500 {
		targets = append(targets, s3.Target{Key: "a"})
	}
	b.Delete(ctx, targets...)
	u, err := b.NewUpload(ctx, "b", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.Part(ctx, 1, strings.NewReader("1234567"))
	u.Complete(ctx)
	want := []s3.Event{
		{Op: s3.OpPut, Class: s3.Data, Key: "a", Bytes: 5},
		{Op: s3.OpGet, Class: s3.Data, Key: "a", Bytes: 3},
		{Op: s3.OpGet, Class: s3.Data, Key: "missing", Err: s3.ErrNotFound},
		{Op: s3.OpDelete, Class: s3.Control, Key: "a"},
		{Op: s3.OpDelete, Class: s3.Control, Key: "a"},
		{Op: s3.OpNewUpload, Class: s3.Control, Key: "b"},
		{Op: s3.OpPart, Class: s3.Data, Key: "b", Bytes: 7},
		{Op: s3.OpCompleteUpload, Class: s3.Control, Key: "b"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors(), cmpopts.IgnoreFields(s3.Event{}, "Start", "Duration")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
