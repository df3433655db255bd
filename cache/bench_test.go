package cache

import (
	"fmt"
	"testing"
	"time"
)

func manyHeavy(n int) (entries []Named[heavyEntry]) {
	for i := range n {
		entries = append(entries, Named[heavyEntry]{fmt.Sprintf("name-%06d", i), heavy(i)})
	}
	return entries
}

func BenchmarkNamesLookup(b *testing.B) {
	n := NewNames[heavyEntry](NamesConfig{TTL: time.Hour, MaxBytes: 1 << 30})
	n.Begin("d/").Done(manyHeavy(100_000))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n.Lookup("d/", "name-050000")
	}
}

func BenchmarkNamesPut(b *testing.B) {
	n := NewNames[heavyEntry](NamesConfig{TTL: time.Hour, MaxBytes: 1 << 30})
	n.Begin("d/").Done(manyHeavy(100_000))
	e := heavy(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n.Put("d/", fmt.Sprint(i%10_000), e)
	}
}

func BenchmarkNamesListing10000(b *testing.B) {
	n := NewNames[heavyEntry](NamesConfig{TTL: time.Hour, MaxBytes: 1 << 30})
	entries := manyHeavy(10_000)
	b.ReportAllocs()
	for b.Loop() {
		n.Begin("d/").Done(entries)
	}
}

// A directory of 10,000 names that is read after each file made in it.
func BenchmarkNamesDirAfterPut10000(b *testing.B) {
	n := NewNames[heavyEntry](NamesConfig{TTL: time.Hour, MaxBytes: 1 << 30})
	n.Begin("d/").Done(manyHeavy(10_000))
	e := heavy(1)
	b.ReportAllocs()
	for b.Loop() {
		n.Put("d/", "new", e)
		n.Dir("d/")
	}
}

func BenchmarkBlocksReadAtMemory(b *testing.B) {
	for _, size := range []int{4 << 10, 128 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := openTestBlocks(b, BlocksConfig{BlockSize: 1 << 20, Memory: 2 << 20})
			c.Put(block(1), make([]byte, 1<<20))
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.ReadAt(b.Context(), block(1), p, 0, noFill); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBlocksReadAtDisk(b *testing.B) {
	c := openTestBlocks(b, BlocksConfig{BlockSize: 1 << 20, Dir: b.TempDir(), MaxDisk: 4 << 20})
	c.Put(block(1), make([]byte, 1<<20))
	for c.Stats().Disk.Stored == 0 {
	}
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadAt(b.Context(), block(1), p, 0, noFill); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiskStore(b *testing.B) {
	c := openTestBlocks(b, BlocksConfig{BlockSize: 1 << 20, Dir: b.TempDir(), MaxDisk: 64 << 20})
	data := make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	for i := 0; b.Loop(); i++ {
		c.disk.mu.Lock()
		c.disk.queuedLen += int64(len(data))
		c.disk.mu.Unlock()
		c.disk.queue <- queued{block(i), data}
	}
}
