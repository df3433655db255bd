package s3_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

type ctx = context.Context

func ExampleList() {
	bucket := s3test.NewMem(s3test.MemConfig{})
	bucket.PutBytes("2026/11/23/report.csv", []byte("a,b"))
	bucket.PutBytes("2026/11/24/report.csv", []byte("a,b,c"))
	bucket.PutBytes("other", nil)
	for object, err := range s3.List(context.Background(), bucket, "2026/") {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(object.Key, object.Size)
	}
	// Output:
	// 2026/11/23/report.csv 3
	// 2026/11/24/report.csv 5
}

func TestListReadsAllPages(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{MaxPage: 10})
	for i := range 95 {
		m.PutBytes(fmt.Sprintf("k%02d", i), nil)
	}
	f := s3test.NewFaulty(m, s3test.Plan{})
	n := 0
	for o, err := range s3.List(t.Context(), f, "") {
		if err != nil || o.Key != fmt.Sprintf("k%02d", n) {
			t.Fatalf("entry %d: %q, %v", n, o.Key, err)
		}
		n++
	}
	if n != 95 || f.Calls()[s3.OpList] != 10 {
		t.Errorf("%d entries with %v", n, f.Calls())
	}
}

func TestListStopsEarlyWithoutLeak(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := s3test.NewMem(s3test.MemConfig{MaxPage: 2})
	for i := range 10 {
		m.PutBytes(fmt.Sprint(i), nil)
	}
	f := s3test.NewFaulty(m, s3test.Plan{Rules: []s3test.Rule{{Nth: 2, Fault: s3test.Fault{Do: s3test.Hang}}}})
	for range s3.List(t.Context(), f, "") {
		break
	}
}

func TestListEndsWithTheError(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{MaxPage: 2})
	for i := range 10 {
		m.PutBytes(fmt.Sprint(i), nil)
	}
	f := s3test.NewFaulty(m, s3test.Plan{Rules: []s3test.Rule{{Nth: 2, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}}}})
	var keys []string
	var last error
	for o, err := range s3.List(t.Context(), f, "") {
		if last = err; err == nil {
			keys = append(keys, o.Key)
		}
	}
	if len(keys) != 2 || !errors.Is(last, s3.ErrDenied) {
		t.Errorf("got %v, then %v", keys, last)
	}
}
