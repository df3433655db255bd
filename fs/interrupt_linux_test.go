package fs

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func TestHandledSignalDoesNotInterruptClose(t *testing.T) {
	r := mounted(t, Config{})
	f, err := os.Create(r.path("f"))
	r.must(err)
	_, err = f.WriteString("whole")
	r.must(err)
	r.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpPut, Fault: s3test.Fault{Delay: 500 * time.Millisecond}}}})
	thread, closed, done := make(chan int), make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		thread <- unix.Gettid()
		closed <- f.Close()
		<-done // until then there is a thread to send signals to
	}()
	defer close(done)
	id := <-thread
	for {
		select {
		case err := <-closed:
			r.must(err)
			r.object("f", "whole")
			return
		case <-time.After(50 * time.Millisecond):
			r.must(unix.Tgkill(os.Getpid(), id, unix.SIGURG))
		}
	}
}

func TestParseSignals(t *testing.T) {
	got := parseSignals([]byte("Name:\tcat\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180000002\n"))
	if want := (signals{pending: 0x102, ignored: 0x1000, caught: 0x180000002}); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	for _, c := range []struct {
		text string
		asks bool
		ends bool
	}{
		{"SigPnd:\t0000000000000100\n", false, true},                             // SIGKILL
		{"ShdPnd:\t0000000000004000\n", false, true},                             // SIGTERM, not handled
		{"ShdPnd:\t0000000000004000\nSigCgt:\t0000000000004000\n", false, false}, // SIGTERM, handled: a change goes on
		{"ShdPnd:\t0000000000004000\nSigCgt:\t0000000000004000\n", true, true},   // … a question ends
		{"SigPnd:\t0000000000400000\nSigCgt:\t0000000000400000\n", true, false},  // SIGURG
		{"SigPnd:\t0000000000010000\n", true, false},                             // SIGCHLD, not handled
	} {
		if ends := parseSignals([]byte(c.text)).end(c.asks); ends != c.ends {
			t.Errorf("%q, asking %v: ends %v, want %v", c.text, c.asks, ends, c.ends)
		}
	}
}
