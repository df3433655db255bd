package fs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// TestTenThousandConflictsLoseNothing has two mounts and a client count in one
// object, each in a place of its own. Whoever opens the object finds there what it
// was last told to be saved, whatever the others did meanwhile; what a close refused is
// in the recovery directory.
func TestTenThousandConflictsLoseNothing(t *testing.T) {
	const place = 32
	mem := simBucket()
	mounts := twoMounts(t, mem, Config{TTL: time.Minute, NegativeTTL: time.Minute})
	record := func(who, n int) string { return fmt.Sprintf("%*s", place, fmt.Sprintf("<%d counts %d>", who, n)) }
	mem.PutBytes("table", []byte(record(0, 0)+record(1, 0)+record(2, 0)))
	var mu sync.Mutex
	var refused []string
	saved := [3]int{}
	counter := func(who int, m *simMount) func() {
		return func() {
			for n := 1; n <= rounds(4500); n++ {
				f, errno := m.k.open("table", syscall.O_RDWR)
				if errno != 0 {
					t.Errorf("mount %d: open: %v", who, errno)
					return
				}
				found, errno := f.read(who*place, place)
				if errno == 0 && found != record(who, saved[who]) {
					t.Errorf("mount %d was told that %d is saved, and finds %q", who, saved[who], found)
				}
				errno = max(errno, f.write(record(who, n), who*place))
				switch closed := f.close(); {
				case errno == 0 && closed == 0:
					saved[who] = n
				case errno == 0 && closed == syscall.ESTALE:
					mu.Lock()
					refused = append(refused, record(who, n))
					mu.Unlock()
				case max(errno, closed) != syscall.ESTALE: // the version went before it was read
					t.Errorf("mount %d: %v, close: %v", who, errno, closed)
				}
			}
		}
	}
	client := func() {
		for n := 1; n <= rounds(1000); n++ {
			body, err := mem.Get(t.Context(), "table", s3.GetOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			var table bytes.Buffer
			table.ReadFrom(body)
			body.Close()
			if found := table.String()[2*place:]; found != record(2, saved[2]) {
				t.Errorf("the client was told that %d is saved, and finds %q", saved[2], found)
			}
			table.Truncate(2 * place)
			table.WriteString(record(2, n))
			if _, err := mem.Put(t.Context(), "table", bytes.NewReader(table.Bytes()), s3.PutOptions{IfMatch: body.Info.ETag}); err == nil {
				saved[2] = n
			}
		}
	}
	together(counter(0, mounts[0]), counter(1, mounts[1]), client)
	final, _ := mem.Bytes("table")
	if want := record(0, saved[0]) + record(1, saved[1]) + record(2, saved[2]); string(final) != want {
		t.Errorf("the object holds %q, want %q", final, want)
	}
	kept := keptContent(t, mounts)
	for _, r := range refused {
		if !strings.Contains(kept, r) {
			t.Errorf("%q was refused, and is not kept", strings.TrimSpace(r))
		}
	}
	t.Logf("last saved are %v; %d closes were refused, and their content kept", saved, len(refused))
}

// keptContent is all that the recovery directories hold.
func keptContent(t *testing.T, mounts [2]*simMount) string {
	t.Helper()
	var all strings.Builder
	for _, m := range mounts {
		paths, err := filepath.Glob(filepath.Join(m.recovery, "*.data"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(data)
			all.WriteByte('\n')
		}
	}
	return all.String()
}
