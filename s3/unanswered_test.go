package s3_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// A key that may not list uploads is one fact, however many answers are lost.
func TestUploadsThatCannotBeListedAreToldOnce(t *testing.T) {
	for _, row := range []struct {
		name    string
		op      string
		kind    error
		want    int // warnings
		advised bool
	}{
		{"may not list", s3.OpListUploads, s3.ErrDenied, 1, true},
		{"cannot list", s3.OpListUploads, s3.ErrUnsupported, 1, true},
		{"may not list parts", s3.OpListParts, s3.ErrDenied, 1, true},
		{"may not abort", s3.OpAbortUpload, s3.ErrDenied, 1, true},
		{"an accident", s3.OpListUploads, s3.ErrInvalid, 3, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := s3test.NewFaulty(s3test.NewMem(s3test.MemConfig{}), s3test.Plan{Rules: []s3test.Rule{
				{Op: row.op, Fault: s3test.Fault{Do: s3test.Fail, Kind: row.kind}},
				{Op: s3.OpNewUpload, Key: "a", Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}},
				{Op: s3.OpNewUpload, Key: "b", Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}},
				{Op: s3.OpNewUpload, Key: "c", Nth: 1, Fault: s3test.Fault{Do: s3test.Drop}},
			}})
			var log bytes.Buffer
			clock := newClock()
			b := s3.Retry(f, s3.RetryConfig{
				Now: clock.now, Sleep: clock.sleep,
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			for _, key := range []string{"a", "b", "c"} {
				if _, err := b.NewUpload(t.Context(), key, s3.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Count(log.String(), "level=WARN"); got != row.want {
				t.Errorf("%d warnings, want %d", got, row.want)
			}
			if got := strings.Count(log.String(), "may be left pending"); got != 3 {
				t.Errorf("%d of 3 uploads are told of at all", got)
			}
			if strings.Contains(log.String(), "s3:ListBucketMultipartUploads") != row.advised {
				t.Errorf("what to do is told, or is not: %t is right", row.advised)
			}
			if t.Failed() {
				t.Log(log.String())
			}
		})
	}
}
