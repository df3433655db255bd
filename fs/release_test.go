package fs

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// A program that closes a file and removes it gets ahead of the kernel's RELEASE.
// The content, which may be terabytes, is not fetched for a descriptor that is
// about to end.
func TestClosedFileIsRemovedWithoutFetchingIt(t *testing.T) {
	synctest.Test(t, removeClosedFiles) // where what is a little late is not later
}

func removeClosedFiles(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("read", []byte(strings.Repeat("content ", 100)))
	m := newSimMount(t, mem, privateDir(t), simConfig{})
	for name, flags := range map[string]uint32{"read": syscall.O_RDONLY, "written": syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL} {
		f, errno := m.k.open(name, flags)
		if errno != 0 {
			t.Fatal(errno)
		}
		if name == "written" { // in parts, which are in the bucket before close
			if errno := f.write(strings.Repeat("x", 10*simPart), 0); errno != 0 {
				t.Fatal(errno)
			}
		}
		if errno := f.flush(); errno != 0 {
			t.Fatal(errno)
		}
		m.faulty.Reset()
		released := make(chan bool)
		go func() {
			defer close(released)
			time.Sleep(releaseWait / 5)
			f.release()
		}()
		if _, errno := m.k.unlink(name); errno != 0 {
			t.Errorf("removing %s: %v", name, errno)
		}
		<-released
		if calls := m.faulty.Calls(); calls[s3.OpGet] > 0 || calls[s3.OpDelete] != 1 {
			t.Errorf("removing %s took %v", name, calls)
		}
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// A program that writes, closes and truncates by name finds the bucket up to
// date, too.
func TestTruncateAfterCloseIsSavedWhenItReturns(t *testing.T) {
	synctest.Test(t, truncateClosedFile)
}

func truncateClosedFile(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("file", []byte("0123456789"))
	m := newSimMount(t, mem, privateDir(t), simConfig{})
	f, errno := m.k.open("file", syscall.O_RDWR)
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := f.write("XY", 4); errno != 0 {
		t.Fatal(errno)
	}
	if errno := f.flush(); errno != 0 {
		t.Fatal(errno)
	}
	released := make(chan bool)
	go func() {
		defer close(released)
		time.Sleep(releaseWait / 5)
		f.release()
	}()
	if _, errno := m.k.truncate("file", 5); errno != 0 {
		t.Error(errno)
	}
	if got, _ := mem.Bytes("file"); string(got) != "0123X" {
		t.Errorf("the object is %q", got)
	}
	<-released
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// A program that reads what it has just written needs one request, whether the
// kernel's word that it was closed comes before or after the open.
func TestReadingWhatWasJustWrittenIsOneRequest(t *testing.T) {
	m := newSimMount(t, simBucket(), privateDir(t), simConfig{})
	writer, errno := m.k.open("file", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC)
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := writer.write("content", 0); errno != 0 {
		t.Fatal(errno)
	}
	if errno := writer.flush(); errno != 0 {
		t.Fatal(errno)
	}
	m.faulty.Reset()
	reader, errno := m.k.open("file", syscall.O_RDONLY)
	if errno != 0 {
		t.Fatal(errno)
	}
	writer.release()
	if got, errno := reader.read(0, 7); got != "content" {
		t.Errorf("read %q, %v", got, errno)
	}
	if calls := m.faulty.Calls(); calls[s3.OpGet] != 1 {
		t.Errorf("reading took %v", calls)
	}
	reader.close()
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// A read makes a file that was streamed so far an object. Who opens it then opens
// what this mount has written, however often.
func TestOpenOfWhatAReadPublished(t *testing.T) {
	mem := simBucket()
	m := newSimMount(t, mem, privateDir(t), simConfig{})
	writer, errno := m.k.open("file", syscall.O_WRONLY|syscall.O_CREAT)
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := writer.write("old", 0); errno != 0 {
		t.Fatal(errno)
	}
	if errno := writer.fsync(); errno != 0 {
		t.Fatal(errno)
	}
	again, errno := m.k.open("file", syscall.O_WRONLY|syscall.O_TRUNC)
	if errno != 0 {
		t.Fatal(errno)
	}
	content := strings.Repeat("x", 3*simPart)
	if errno := writer.write(content, 0); errno != 0 {
		t.Fatal(errno)
	}
	for range 3 {
		reader, errno := m.k.open("file", syscall.O_RDONLY)
		if errno != 0 {
			t.Fatalf("opening: %v", errno)
		}
		if got, errno := reader.read(0, 1000); got != content {
			t.Errorf("read %q, %v", got, errno)
		}
		reader.close()
	}
	writer.close()
	again.close()
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// Who opens a file that is being removed has all of its content, or finds that it
// is not there.
func TestOpenOfWhatIsBeingRemoved(t *testing.T) {
	for _, flags := range []uint32{syscall.O_RDONLY, syscall.O_WRONLY | syscall.O_TRUNC} {
		synctest.Test(t, func(t *testing.T) { openRemoved(t, flags) })
	}
}

func openRemoved(t *testing.T, flags uint32) {
	mem := simBucket()
	mem.PutBytes("a", []byte("content"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	f, errno := m.k.open("a", flags)
	if errno != 0 {
		t.Fatal(errno)
	}
	if flags&syscall.O_TRUNC != 0 { // parts of it are gone from this machine
		if errno := f.write(strings.Repeat("x", 10*simPart), 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	inode, errno := m.k.find("a", false)
	if errno != 0 {
		t.Fatal(errno)
	}
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpDelete, Fault: s3test.Fault{Delay: time.Second}}}})
	opened := make(chan bool)
	go func() {
		defer close(opened)
		time.Sleep(releaseWait / 4)
		go f.release()
		time.Sleep(releaseWait)
		var out fuse.OpenOut
		if st := m.fs.Open(nil, &fuse.OpenIn{InHeader: header(inode), Flags: syscall.O_RDONLY}, &out); errnoOf(st) != syscall.ESTALE {
			t.Errorf("opening: %v", st)
		}
		m.k.put(inode)
	}()
	if _, errno := m.k.unlink("a"); errno != 0 {
		t.Error(errno)
	}
	<-opened
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
