package cache

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// heavyEntry is shaped like what a file system keeps of an object.
type heavyEntry struct {
	kind  int
	part  string
	size  int64
	etag  string
	mtime time.Time
	class string
	attrs *struct {
		mode uint32
		tags []string
	}
}

func heavy(i int) heavyEntry {
	return heavyEntry{
		part: fmt.Sprintf("some-file-name-%06d.txt", i), etag: fmt.Sprintf("%032x", i), class: "STANDARD",
		mtime: time.Now(), size: int64(i),
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNamesBytesMatchTheHeap(t *testing.T) {
	const max = 8 << 20
	for name, fill := range map[string]func(n *Names[heavyEntry], dir string){
		"listings": func(n *Names[heavyEntry], dir string) {
			var entries []Named[heavyEntry]
			for i := range 100 {
				entries = append(entries, Named[heavyEntry]{fmt.Sprintf("name-%06d", i), heavy(i)})
			}
			n.Begin(dir).Done(entries)
		},
		"changes": func(n *Names[heavyEntry], dir string) {
			for i := range 100 {
				n.Put(dir, fmt.Sprintf("name-%06d", i), heavy(i))
			}
		},
		"flat tree": func(n *Names[heavyEntry], dir string) {
			for i := range 20 {
				n.Begin(fmt.Sprintf("%s%d/", dir, i)).Done([]Named[heavyEntry]{{"only", heavy(i)}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := heapInUse()
			n := NewNames[heavyEntry](NamesConfig{TTL: time.Hour, MaxBytes: max})
			for i := range 2000 { // up to 200,000 names
				fill(n, fmt.Sprintf("directory/%06d/", i))
			}
			s := n.Stats()
			used := heapInUse() - before
			t.Logf("estimated %d, measured %d", s.Bytes, used)
			if s.Bytes > max || s.Evicted == 0 {
				t.Errorf("Stats = %+v, want some evicted and at most %d bytes", s, max)
			}
			if used > s.Bytes*5/4 || used < s.Bytes/2 {
				t.Errorf("estimated %d, measured %d", s.Bytes, used)
			}
			runtime.KeepAlive(n)
		})
	}
}
