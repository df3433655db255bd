package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// A listing that loops, lies about its order, repeats keys, leaves its directory
// or says nothing for ever is EIO: never a name that was made up, never a short
// directory, and never a wait without an end.
func TestListingThatLiesIsAnError(t *testing.T) {
	key := func(k string) string { return "<Contents><Key>" + k + "</Key><Size>1</Size></Contents>" }
	end := func(more, token string) string {
		return "<IsTruncated>" + more + "</IsTruncated><NextContinuationToken>" + token + "</NextContinuationToken>"
	}
	last := end("false", "")
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--metadata-ttl", "0") // the rows' directories come one by one
	for i, row := range []struct {
		what  string
		pages []string // the last two of them come by turns for ever; DIR is the directory
	}{
		{"the same page with the same token", []string{key("DIR/a") + end("true", "t")}},
		{"the same page with another token", []string{key("DIR/a") + end("true", "t1"), key("DIR/a") + end("true", "t2")}},
		{"two pages after each other for ever", []string{key("DIR/a") + end("true", "t1"), key("DIR/b") + end("true", "t2")}},
		{"empty pages for ever", []string{end("true", "t1"), end("true", "t2")}},
		{"keys out of order", []string{key("DIR/b") + key("DIR/a") + last}},
		{"a key twice", []string{key("DIR/a") + key("DIR/a") + last}},
		{"a page that goes back", []string{key("DIR/b") + end("true", "t"), key("DIR/a") + last}},
		{"a key of another directory", []string{key("other/a") + last}},
		{"a key above the mount", []string{key("../a") + last}},
		{"a directory above the mount", []string{"<CommonPrefixes><Prefix>../</Prefix></CommonPrefixes>" + last}},
		{"more to come without a token", []string{key("DIR/a") + end("true", "")}},
		{"no word about an end", []string{key("DIR/a")}},
	} {
		t.Run(row.what, func(t *testing.T) {
			dir := fmt.Sprintf("dir%d", i)
			client.Put(t, dir+"/", nil)
			var asked atomic.Int64
			s.Proxy.Harm(answering{next: s.Proxy.Upstream(), answer: func(r *http.Request) (string, bool) {
				if !listing(r) || r.URL.Query().Get("prefix") != dir+"/" || r.URL.Query().Get("max-keys") != "" {
					return "", false
				}
				at := int(asked.Add(1)) - 1
				for at >= len(row.pages) {
					at -= min(len(row.pages), 2)
				}
				return "<ListBucketResult>" + strings.ReplaceAll(row.pages[at], "DIR", dir) + "</ListBucketResult>", true
			}})
			defer s.Proxy.Harm(nil)
			var names []os.DirEntry
			var err error
			within(t, 30*time.Second, func() { names, err = os.ReadDir(m.Path(dir)) })
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%d names and %v, want EIO", len(names), err)
			}
			t.Logf("after %d listings: %v", asked.Load(), err)
		})
	}
}
