package fs

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Of a directory with more names than are held, each is told once, in order,
// with those that are not saved yet; and a program may go back to where it was.
func TestDirectoryLargerThanWhatIsHeld(t *testing.T) {
	const n = maxHeld + maxHeld/2 + 1234
	r := mounted(t, Config{})
	name := func(i int) string { return fmt.Sprintf("f%06d", i) }
	for i := range n {
		r.mem.PutBytes("wide/"+name(i), nil)
	}
	edited := r.open("wide/"+name(7), os.O_RDWR)
	defer edited.Close()
	_, err := edited.Write([]byte("x"))
	r.must(err)
	made := r.open("wide/new", os.O_RDWR|os.O_CREATE)
	defer made.Close()
	_, err = made.Write([]byte("x"))
	r.must(err)

	dir, err := os.Open(r.path("wide"))
	r.must(err)
	defer dir.Close()
	names, err := dir.Readdirnames(0)
	r.must(err)
	if len(names) != n+1 || names[n] != "new" {
		t.Fatalf("%d names, the last of them %q; want %d and the new one", len(names), names[len(names)-1], n+1)
	}
	for i := range n {
		if names[i] != name(i) {
			t.Fatalf("name %d is %q", i, names[i])
		}
	}
	for _, i := range []int64{10, n - 10} { // offsets count names, "." and ".." first
		fd := int(dir.Fd())
		_, err := unix.Seek(fd, i+2, unix.SEEK_SET)
		r.must(err)
		buf := make([]byte, 4096)
		got, err := unix.ReadDirent(fd, buf)
		r.must(err)
		_, _, next := unix.ParseDirent(buf[:got], 1, nil)
		if len(next) != 1 || next[0] != name(int(i)) {
			t.Errorf("after going back to name %d comes %q", i, next)
		}
	}
}
