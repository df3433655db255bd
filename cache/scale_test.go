package cache

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// heavyEntry is shaped like what a file system keeps of an object.
type heavyEntry struct {
	part  string
	size  int64
	etag  string
	mtime time.Time
	class string
	attrs *heavyAttrs // nil in listings
}

type heavyAttrs struct{ tags []string }

func heavy(i int) heavyEntry {
	return heavyEntry{
		part: fmt.Sprintf("some-file-name-%06d.txt", i), etag: fmt.Sprintf("%032x", i), class: "STANDARD",
		mtime: time.Now(), size: int64(i),
	}
}

func heapInUse() int64 {
	for range 2 { // pools of other tests give up what they hold at the second
		runtime.GC()
	}
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

func TestWeightFollowsReferences(t *testing.T) {
	s := newScale[heavyEntry]()
	plain := heavyEntry{mtime: time.Now()}
	if got := s.referred(&plain); got != 0 {
		t.Errorf("an entry that refers to nothing weighs %d more", got)
	}
	full := heavyEntry{etag: "1234", attrs: &heavyAttrs{tags: []string{"12", "123"}}}
	if got, want := s.referred(&full), int64(stringWeight+4+stringWeight+24+2*16+stringWeight+2+stringWeight+3); got != want {
		t.Errorf("an entry weighs %d more, want %d", got, want)
	}
	type mapped struct{ m map[string]int64 }
	m := mapped{map[string]int64{"1": 1}}
	if got, want := newScale[mapped]().referred(&m), int64(2*(16+8)+stringWeight+1); got != want {
		t.Errorf("a map weighs %d, want %d", got, want)
	}
}
