package transfer

import (
	"context"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// The in-memory bucket copies each byte once, into the reader's buffer or out
// of the writer's: that is the floor of these figures.

func BenchmarkSequentialRead(b *testing.B) {
	mem := s3test.NewMem(s3test.MemConfig{OpaqueETags: true})
	info := mem.PutBytes("a", noise(256<<20, 1))
	e := newEngine(b, mem, Config{})
	for _, step := range []int{128 << 10, 1 << 20} {
		b.Run(map[int]string{128 << 10: "128KiB", 1 << 20: "1MiB"}[step], func(b *testing.B) {
			b.SetBytes(info.Size)
			b.ReportAllocs()
			for b.Loop() {
				r, _, _, err := e.Open(context.Background(), "a", info.Object, "")
				if err != nil {
					b.Fatal(err)
				}
				for off := int64(0); off < info.Size; off += int64(step) {
					v, err := r.View(context.Background(), off, step)
					if err != nil {
						b.Fatal(err)
					}
					v.Release()
				}
				r.Close()
			}
		})
	}
}

func BenchmarkSequentialWrite(b *testing.B) {
	mem := s3test.NewMem(s3test.MemConfig{OpaqueETags: true})
	e := newEngine(b, mem, Config{})
	p := noise(1<<20, 1)
	for _, step := range []int{4 << 10, 128 << 10, 1 << 20} {
		b.Run(map[int]string{4 << 10: "4KiB", 128 << 10: "128KiB", 1 << 20: "1MiB"}[step], func(b *testing.B) {
			const size = 256 << 20
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				d := e.NewDraft("a", nil, DraftOptions{Sequential: true})
				for off := int64(0); off < size; off += int64(step) {
					if err := d.WriteAt(context.Background(), p[:step], off); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := d.Commit(context.Background(), "a", s3.PutOptions{}); err != nil {
					b.Fatal(err)
				}
				d.Discard(context.Background())
			}
		})
	}
}

func BenchmarkSmallFile(b *testing.B) {
	mem := s3test.NewMem(s3test.MemConfig{OpaqueETags: true})
	e := newEngine(b, mem, Config{})
	p := noise(4<<10, 1)
	info := mem.PutBytes("r", p)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, _, _, err := e.Open(context.Background(), "r", info.Object, "")
			if err != nil {
				b.Fatal(err)
			}
			v, err := r.View(context.Background(), 0, 4096)
			if err != nil {
				b.Fatal(err)
			}
			v.Release()
			r.Close()
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d := e.NewDraft("w", nil, DraftOptions{Sequential: true})
			if err := d.WriteAt(context.Background(), p, 0); err != nil {
				b.Fatal(err)
			}
			if _, err := d.Commit(context.Background(), "w", s3.PutOptions{}); err != nil {
				b.Fatal(err)
			}
			d.Discard(context.Background())
		}
	})
}
