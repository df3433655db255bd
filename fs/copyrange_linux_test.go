package fs

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// copied copies the way cp does, and returns the requests it took.
func (r *rig) copied(from, to *os.File) map[string]int {
	r.Helper()
	r.faulty.Reset()
	for {
		n, err := unix.CopyFileRange(int(from.Fd()), nil, int(to.Fd()), nil, 1<<30, 0)
		r.must(err)
		if n == 0 {
			return r.faulty.Calls()
		}
	}
}

// large is a mount of an object "big" that the server copies.
func large(t *testing.T) (*rig, []byte) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef"), copySmallest/16+100)
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("big", data)
	return mountOver(t, mem, Config{}), data
}

func TestLargeFilesAreCopiedByTheServer(t *testing.T) {
	r, data := large(t)
	from, to := r.open("big", os.O_RDONLY), r.open("copy", os.O_CREATE|os.O_WRONLY|os.O_EXCL)
	calls := r.copied(from, to)
	if calls[s3.OpCopyPart] == 0 || calls[s3.OpGet]+calls[s3.OpPart]+calls[s3.OpPut] > 0 {
		t.Errorf("copying took %v", calls)
	}
	r.object("copy", string(data)) // though it is not closed
	r.must(os.Remove(r.path("big")))
	r.must(to.Close())
	r.must(from.Close())
	r.object("copy", string(data))
	if got := r.read("copy"); got != string(data) {
		t.Errorf("the copy holds %d other bytes", len(got))
	}
}

func TestCopyOnTheServerKeepsToItsVersions(t *testing.T) {
	tests := map[string]struct {
		before func(r *rig, from, to *os.File)
		flags  int
		server bool // copies
		want   func(data []byte) []byte
	}{
		"onto an old file": {nil, os.O_WRONLY | os.O_TRUNC | os.O_CREATE, true, nil},
		"for reading, too": {nil, os.O_RDWR | os.O_CREATE, true, nil},
		"behind other bytes": {func(r *rig, from, to *os.File) {
			_, err := to.Write([]byte("header"))
			r.must(err)
		}, os.O_RDWR | os.O_CREATE, false, func(data []byte) []byte { return append([]byte("header"), data...) }},
		"from the middle": {func(r *rig, from, to *os.File) {
			_, err := from.Seek(100, io.SeekStart)
			r.must(err)
		}, os.O_RDWR | os.O_CREATE, false, func(data []byte) []byte { return data[100:] }},
		"of a changed source": {func(r *rig, from, to *os.File) {
			f := r.open("big", os.O_RDWR)
			_, err := f.WriteAt([]byte("edited"), 10)
			r.must(err)
			r.T.Cleanup(func() { f.Close() })
		}, os.O_RDWR | os.O_CREATE, false, func(data []byte) []byte {
			return append(append(append([]byte(nil), data[:10]...), "edited"...), data[16:]...)
		}},
		"of a source that is unlinked": {func(r *rig, from, to *os.File) {
			r.must(os.Remove(r.path("big")))
		}, os.O_RDWR | os.O_CREATE, false, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, data := large(t)
			r.mem.PutBytes("copy", []byte("old"))
			if test.flags&os.O_TRUNC == 0 {
				r.must(r.mem.Delete(t.Context(), s3.Target{Key: "copy"}))
			}
			from, to := r.open("big", os.O_RDONLY), r.open("copy", test.flags)
			if test.before != nil {
				test.before(r, from, to)
			}
			calls := r.copied(from, to)
			if (calls[s3.OpCopyPart] > 0) != test.server {
				t.Errorf("copying took %v", calls)
			}
			r.must(to.Close())
			r.must(from.Close())
			if test.want != nil {
				data = test.want(data)
			}
			r.object("copy", string(data))
		})
	}
}

func TestCopyThatTheServerRefusesIsRead(t *testing.T) {
	r, data := large(t)
	from, to := r.open("big", os.O_RDONLY), r.open("copy", os.O_CREATE|os.O_WRONLY)
	r.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopyPart, Times: -1, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}}}})
	r.copied(from, to)
	r.must(to.Close())
	r.must(from.Close())
	r.object("copy", string(data))
}

func TestExclusiveCopyLosesToWhoWasFirst(t *testing.T) {
	r, _ := large(t)
	from, to := r.open("big", os.O_RDONLY), r.open("copy", os.O_CREATE|os.O_WRONLY|os.O_EXCL)
	r.mem.PutBytes("copy", []byte("theirs"))
	_, err := unix.CopyFileRange(int(from.Fd()), nil, int(to.Fd()), nil, 1<<30, 0)
	r.want(err, syscall.EEXIST)
	r.want(to.Close(), syscall.EEXIST)
	r.must(from.Close())
	r.object("copy", "theirs")
}
