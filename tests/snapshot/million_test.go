package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestMillionObjectsArePlannedInLittleMemory has the program list a million objects
// of a server in the test, by S3's protocol, and plan their snapshot. How large its
// heap grew, with all garbage, buffers and parsed documents, Go's own trace tells:
// each line has the size at which a collection began, and when it ended. Nothing
// limits the heap, and nobody collects but the collector. There is no race detector
// in the program, unlike in package snapshot's own test.
func TestMillionObjectsArePlannedInLittleMemory(t *testing.T) {
	const n, limit = 1_000_000, 64 << 20
	bucket := &million{n: n, other: &s3test.Server{Name: "million", Bucket: s3test.NewMem(s3test.MemConfig{})}}
	srv := httptest.NewServer(bucket)
	defer srv.Close()
	bin, err := harness.Program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "snapshot", "create", "--dry-run", "--json", "--progress", "none", "--bucket", "million")
	cmd.Env = harness.Env(t.TempDir(), "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION="+harness.Region,
		"AWS_ENDPOINT_URL="+srv.URL, "GODEBUG=gctrace=1")
	started := time.Now()
	r := harness.Run(cmd)
	var plan struct{ Objects, Bytes, Copies int64 }
	if err := json.Unmarshal([]byte(r.Stdout), &plan); r.Status != 0 || err != nil {
		t.Fatalf("exit status %d, %v\n%s%.2000s", r.Status, err, r.Stdout, r.Stderr)
	}
	if plan.Objects != n || plan.Copies != n || plan.Bytes != n*(n-1)/2 {
		t.Errorf("planned %+v", plan)
	}
	peak, collections := heapPeak(t, r.Stderr)
	t.Logf("%d objects in %.1f s and %d listings: heap of %d MiB at most, %d collections", n, time.Since(started).Seconds(), bucket.pages.Load(), peak>>20, collections)
	if peak > limit {
		t.Errorf("a heap of %d MiB", peak>>20)
	}
	if pages := bucket.pages.Load(); collections < 20 || pages < n/1000 || pages > n/1000*2 {
		t.Errorf("%d collections, %d listings", collections, pages)
	}
}

// heapPeak reads the lines of gctrace, which look like
//
//	gc 12 @1.5s 1%: 0.02+1.1+0.01 ms clock, 0.05+0.2/1.0/0.1+0.03 ms cpu, 11->12->6 MB, 13 MB goal, …
//
// and returns the largest heap of them, in bytes.
func heapPeak(t *testing.T, trace string) (peak, collections int) {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^gc \d+ @.* (\d+)->(\d+)->\d+ MB`).FindAllStringSubmatch(trace, -1) {
		collections++
		for _, text := range line[1:] {
			mib, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			peak = max(peak, (mib+1)<<20) // it is rounded down
		}
	}
	return peak, collections
}

// million serves listings of so many synthetic objects; whatever else is asked for
// is of another, empty bucket.
type million struct {
	n     int
	other http.Handler
	pages atomic.Int64
}

func (*million) key(i int) string {
	return fmt.Sprintf("zone%02d/records/2026/%08d.json", i/50_000, i)
}

// from is the first object after a key.
func (m *million) from(after string) int {
	low, high := 0, m.n
	for low < high {
		if mid := (low + high) / 2; m.key(mid) > after {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

func (m *million) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || q.Get("list-type") != "2" || q.Get("prefix") != "" {
		m.other.ServeHTTP(w, r)
		return
	}
	m.pages.Add(1)
	at := m.from(max(q.Get("start-after"), q.Get("continuation-token")))
	size := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		size = min(size, n)
	}
	end := min(at+size, m.n)
	var page bytes.Buffer
	fmt.Fprintf(&page, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+
		`<Name>million</Name><Prefix></Prefix><EncodingType>%s</EncodingType><MaxKeys>%d</MaxKeys><KeyCount>%d</KeyCount><IsTruncated>%v</IsTruncated>`,
		q.Get("encoding-type"), size, end-at, end < m.n)
	for i := at; i < end; i++ {
		fmt.Fprintf(&page, `<Contents><Key>%s</Key><LastModified>2026-11-23T09:00:00.000Z</LastModified><ETag>&quot;%032x&quot;</ETag>`+
			`<Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>`, m.key(i), i, i)
	}
	if end < m.n {
		fmt.Fprintf(&page, `<NextContinuationToken>%s</NextContinuationToken>`, m.key(end-1))
	}
	page.WriteString(`</ListBucketResult>`)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(page.Len()))
	_, _ = w.Write(page.Bytes())
}
