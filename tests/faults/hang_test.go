package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// A server that accepts and never answers: a program that waits for it can be
// interrupted within a second or two, df answers at once, and umount ends or says
// why. Nothing here is saved or lost: it is only about waiting.
func TestHungServerHangsNobody(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "big", harness.Noise(1, 50<<20))
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	if _, err := os.Stat(m.Path("big")); err != nil {
		t.Fatal(err)
	}
	stopServer(t, s)
	defer s.Signal(syscall.SIGCONT)

	t.Run("cat is interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() { exec.Command("timeout", "1", "cat", m.Path("big")).Run() })
	})
	t.Run("ls is interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() { exec.Command("timeout", "1", "ls", m.Path("unknown")).Run() })
	})
	t.Run("a write is interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() {
			exec.Command("timeout", "1", "sh", "-c", "echo x > "+m.Path("new")).Run()
		})
	})
	t.Run("df and status answer", func(t *testing.T) { stillAnswers(t, m) })
	t.Run("a thousand programs wait, umount says so, and they are killed", func(t *testing.T) {
		readers := exec.Command("sh", "-c", "for i in $(seq 1000); do cat "+m.Path("big")+" & done; wait")
		readers.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := readers.Start(); err != nil {
			t.Fatal(err)
		}
		group := readers.Process.Pid
		defer func() {
			syscall.Kill(-group, syscall.SIGKILL)
			within(t, 30*time.Second, func() { readers.Wait() })
		}()
		for deadline := time.Now().Add(3 * time.Minute); asleep(group, "cat") < 1000; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d programs wait", asleep(group, "cat"))
			}
		}
		stillAnswers(t, m)
		for tries := 0; ; tries++ { // that the server is silent is worth saying after two seconds
			r := umountEnds(t, m, 1, "is in use")
			if t.Failed() || strings.Contains(r.Stderr, "is in use (the server has not answered a request for ") {
				break
			}
			if tries == 10 {
				t.Fatalf("umount says no more than: %s", r.Stderr)
			}
			time.Sleep(time.Second)
		}
		if n := asleep(group, "cat"); n != 1000 {
			t.Errorf("%d programs waited when umount had ended: it proves nothing", n)
		}
	})
	s.Signal(syscall.SIGCONT)
	writer := startWriter(t, m.Path("written"))
	stopServer(t, s)
	t.Run("close is interrupted", func(t *testing.T) { writer.stopInClose(t, s) })
	t.Run("umount --force says what is unsaved while a program still waits", func(t *testing.T) {
		reader := exec.Command("cat", m.Path("big"))
		reader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		defer reader.Wait()
		defer reader.Process.Kill()
		for deadline := time.Now().Add(time.Minute); asleep(reader.Process.Pid, "cat") == 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the reader does not wait")
			}
		}
		umountEnds(t, m, 8, "1 file, 98 KiB left: /written", "--force", "--timeout", "1s")
		if harness.Mounted(m.Dir) {
			t.Error("it is still mounted")
		}
	})
}

// umountBound is what umount gets where it should end, or say why not, within ten
// seconds, on a machine that has other things to do.
const umountBound = 20 * time.Second

// umountEnds runs umount, which must end with a status and say something.
func umountEnds(t *testing.T, m *harness.Mount, status int, says string, flags ...string) harness.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), umountBound)
	defer cancel()
	r := m.Run(ctx, append(append([]string{"umount"}, flags...), m.Dir)...)
	switch {
	case ctx.Err() != nil:
		t.Errorf("umount did not end in %v, and said: %s", umountBound, r.Stderr)
	case r.Status != status || !strings.Contains(r.Stderr, says):
		t.Errorf("umount ended with %d, not %d, or does not say %q: %s", r.Status, status, says, r.Stderr)
	}
	return r
}

// stopServer makes the server hang. A signal takes its time to reach all threads.
func stopServer(t *testing.T, s *harness.Server) {
	t.Helper()
	s.Signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID()))
		stopped := func(path string) bool {
			text, err := os.ReadFile(path)
			return err != nil || strings.Contains(string(text), ") T ")
		}
		if len(threads) > 0 && !slices.ContainsFunc(threads, func(path string) bool { return !stopped(path) }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not stop")
		}
	}
}

// asleep is how many programs of a name, in a process group, wait for something.
func asleep(group int, name string) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	n := 0
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var pid, parent, pgrp int
		var comm, state string
		if _, err := fmt.Sscanf(string(text), "%d %s %s %d %d", &pid, &comm, &state, &parent, &pgrp); err != nil {
			continue // a name with a space in it
		}
		if pgrp == group && comm == "("+name+")" && (state == "S" || state == "D") {
			n++
		}
	}
	return n
}

// umount that may wait for as long as it takes says soon what it waits for, and
// what is in the way: how long the server has been silent, or what it said. When
// it is ended, the mount goes on.
func TestUmountSaysWhyItWaits(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for _, row := range []struct {
		what       string
		hurt, end  func()
		why, limit string
	}{
		{
			"a server that never answers", func() { stopServer(t, s) }, func() { s.Signal(syscall.SIGCONT) },
			"the server has not answered a request for ", "5s",
		},
		{
			"a server that is too busy", func() { s.Proxy.Harm(refusing{}) }, func() { s.Proxy.Harm(nil) },
			"server asks to slow down (SlowDown, HTTP 503, request TESTREQUEST)", "1s",
		},
	} {
		t.Run(row.what, func(t *testing.T) {
			precious, err := os.Create(m.Path("precious"))
			if err != nil {
				t.Fatal(err)
			}
			defer precious.Close()
			if _, err := precious.WriteString("not saved"); err != nil {
				t.Fatal(err)
			}
			row.hurt()
			defer row.end()
			umountSays(t, m, "1 file, 9 B left: /precious (", row.why)
			umountEnds(t, m, 8, "1 file, 9 B left: /precious (", "--timeout", row.limit)
			row.end()
			if err := precious.Close(); err != nil {
				t.Error(err)
			}
			if got := string(client.Get(t, "precious")); got != "not saved" {
				t.Errorf("saved is %q", got)
			}
		})
	}
}

// refusing is a server that is too busy.
type refusing struct{}

func (refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	return harness.Answer(r, http.StatusServiceUnavailable, "SlowDown"), nil
}

// umountSays starts umount, without a limit, and ends it when it has said what
// it should: in one of its first three lines, of which there is one every three
// seconds.
func umountSays(t *testing.T, m *harness.Mount, wanted ...string) {
	t.Helper()
	umount := m.Command(t.Context(), "umount", m.Dir)
	stderr, err := umount.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := umount.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(umountBound, func() { umount.Process.Kill() })
	defer func() {
		late.Stop()
		umount.Process.Kill()
		umount.Wait()
	}()
	var said []string
	for lines := bufio.NewScanner(stderr); len(said) < 3 && lines.Scan(); {
		said = append(said, lines.Text())
		if !slices.ContainsFunc(wanted, func(w string) bool { return !strings.Contains(lines.Text(), w) }) {
			return
		}
	}
	t.Errorf("umount does not say %q in three lines and %v, but %q", wanted, umountBound, said)
}

// stillAnswers asks a mount what needs no server: df blocks nobody, and status
// tells what is wrong.
func stillAnswers(t *testing.T, m *harness.Mount) {
	t.Helper()
	quickly(t, time.Second, func() {
		if out, err := exec.Command("df", m.Dir).CombinedOutput(); err != nil {
			t.Errorf("df: %v: %s", err, out)
		}
	})
	quickly(t, 2*time.Second, func() {
		if r := m.Run(t.Context(), "status", m.Dir); r.Status != 0 {
			t.Errorf("status: %d: %s", r.Status, r.Stderr)
		}
	})
}

// The server goes away in the middle of a thousand operations and comes back:
// every operation ends, those that said success did what they said, and the
// mount heals without being mounted anew. The outage begins when a third is
// done, and lasts until requests have met it.
func TestServerVanishesAmidOperations(t *testing.T) {
	const writers, rounds, third, meet = 20, 50, 300, 10
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	o := &operations{saved: map[string]int{}, failed: map[string]int{}, enough: make(chan struct{}), third: third}
	content := func(i int) string { return string(harness.Noise(uint64(i), 20_000)) }
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for r := range rounds {
				i, name := w*rounds+r, fmt.Sprintf("file-%d-%d", w, r)
				began := o.now()
				o.note(began, name, i, os.WriteFile(m.Path(name), []byte(content(i)), 0o644))
			}
		})
	}
	select {
	case <-o.enough:
	case <-time.After(2 * time.Minute):
		t.Fatal("a third of the operations is not done in two minutes")
	}
	o.enter(outage)
	s.Kill()
	s.Proxy.Reset()
	for deadline := time.Now().Add(time.Minute); unanswered(s.Proxy) < meet; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests met the outage", unanswered(s.Proxy))
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	o.enter(afterwards)
	within(t, 5*time.Minute, group.Wait)
	t.Logf("operations before the outage, that met it, and after it: %d; %d were kept", o.ended, len(o.failed))
	if o.ended[outset] < third || o.ended[outage] < meet || o.ended[afterwards] < third {
		t.Errorf("the outage was not in the middle: %d", o.ended)
	}
	if n := o.ended[outset] + o.ended[outage] + o.ended[afterwards]; n != writers*rounds {
		t.Errorf("%d operations ended, not %d", n, writers*rounds)
	}
	for _, err := range o.unmet {
		t.Errorf("an operation failed that never met the outage: %v", err)
	}
	for name, i := range o.saved {
		if got := client.Get(t, name); string(got) != content(i) {
			t.Errorf("%s was saved, and holds %d other bytes", name, len(got))
		}
	}
	if err := os.WriteFile(m.Path("afterwards"), []byte("x"), 0o644); err != nil {
		t.Errorf("after the server came back: %v", err)
	}
	if len(o.failed) > 0 { // few, by bad luck, or where the server took long to come back
		recoverAll(t, m, client.Bucket)
	}
	for name, i := range o.failed {
		if string(client.Get(t, name)) != content(i) {
			t.Errorf("%s was not saved at first, and holds other bytes", name)
		}
	}
}

// stage is when an operation was: one that met the outage was begun before its
// end and ended after its beginning.
type stage int

const (
	outset stage = iota
	outage
	afterwards
)

// operations is the account of what many writers do.
type operations struct {
	third  int
	enough chan struct{} // closed when a third of them has ended

	mu            sync.Mutex
	stage         stage
	ended         [3]int
	saved, failed map[string]int // what is there, and what must be kept
	unmet         []error        // of operations that did not meet the outage
}

func (o *operations) now() stage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stage
}

func (o *operations) enter(s stage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stage = s
}

// note counts an operation that has ended.
func (o *operations) note(began stage, name string, i int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	when := o.stage
	if began != o.stage {
		when = outage
	}
	var path *os.PathError
	switch {
	case err == nil:
		o.saved[name] = i
	case when != outage:
		o.unmet = append(o.unmet, err)
	case errors.As(err, &path) && path.Op != "open": // there was something to save
		o.failed[name] = i
	}
	if o.ended[when]++; when == outset && o.ended[outset] == o.third {
		close(o.enough)
	}
}

// unanswered is how many requests had no answer.
func unanswered(p *harness.Proxy) int {
	n := 0
	for _, r := range p.Requests() {
		if r.Status == 0 {
			n++
		}
	}
	return n
}

// recoverAll uploads what could not be saved, and ends the mount. What a close gives
// up is kept a moment later.
func recoverAll(t *testing.T, m *harness.Mount, bucket string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		r := m.Run(t.Context(), "status", m.Dir)
		if strings.Contains(r.Stdout, "unsaved      nothing") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("what could not be saved is not kept: %s%s", r.Stdout, r.Stderr)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, args := range [][]string{{"recover", "upload", "--bucket", bucket, "all"}, {"umount", m.Dir}} {
		if r := m.Run(t.Context(), args...); r.Status != 0 {
			t.Errorf("%s: status %d\n%s%s", args[0], r.Status, r.Stdout, r.Stderr)
		}
	}
	if status := m.Wait(t); status != 0 {
		t.Errorf("the mount ended with status %d although all is saved", status)
	}
}

// A short run of 503, 500, cut bodies and lost answers reaches no program.
func TestPassingFaultsReachNoProgram(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	s.Proxy.Harm(harness.NewFlaky(s.Proxy.Upstream(), 0.25, harness.Seed(t)))
	for i := range 60 {
		name, data := fmt.Sprintf("dir%d/file", i%7), harness.Noise(uint64(i), 1000+i*40_000)
		if err := os.MkdirAll(m.Path(fmt.Sprintf("dir%d", i%7)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.Path(name), data, 0o644); err != nil {
			t.Fatalf("writing: %v", err)
		}
		got, err := os.ReadFile(m.Path(name))
		if err != nil {
			t.Fatalf("reading: %v", err)
		}
		if string(got) != string(data) {
			t.Fatalf("%s: read %d other bytes back", name, len(got))
		}
		if _, err := os.ReadDir(m.Dir); err != nil {
			t.Fatalf("listing: %v", err)
		}
	}
	data := harness.Noise(99, 30<<20)
	if err := os.WriteFile(m.Path("large"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Harm(nil)
	if got := client.Get(t, "large"); string(got) != string(data) {
		t.Errorf("the large object holds %d other bytes", len(got))
	}
}

// hang is what a program takes that can't be interrupted: a request that stands
// still is given up after 20 seconds, and then made again.
const hang = 15 * time.Second

// within fails the test if do takes longer than d, which is much more than it
// needs, for the machine may stand still, and less than the program would wait for
// the server.
func within(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	if took := timed(t, d, do); took > d {
		t.Errorf("took %v, more than %v", took.Round(time.Millisecond), d)
	}
}

// quickly fails the test if do hangs at all, or takes longer than d three times in
// a row: a person who waits would notice, but the machine may be busy.
func quickly(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	var all []time.Duration
	for range 3 {
		took := timed(t, hang, do)
		if took > hang {
			t.Errorf("hung for %v", took.Round(time.Millisecond))
			return
		}
		if took <= d {
			return
		}
		all = append(all, took.Round(time.Millisecond))
	}
	t.Errorf("took %v, more than %v", all, d)
}

// timed is how long do takes. It does not end do where that takes very much
// longer than d.
func timed(t *testing.T, d time.Duration, do func()) time.Duration {
	t.Helper()
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(d + 20*time.Second):
		t.Fatalf("did not end in %v", d+20*time.Second)
	}
	return time.Since(start)
}
