package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// A server that accepts and never answers: a program that waits for it can be
// interrupted within a second or two, df answers at once, and umount ends or says
// why soon after its time is up. Nothing here is saved or lost: it is only about waiting.
func TestHungServerHangsNobody(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "big", harness.Noise(1, 50<<20))
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	if _, err := os.Stat(m.Path("big")); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGSTOP)
	defer s.Signal(syscall.SIGCONT)

	t.Run("cat is interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() { exec.Command("timeout", "1", "cat", m.Path("big")).Run() })
	})
	t.Run("ls is interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() { exec.Command("timeout", "1", "ls", m.Path("unknown")).Run() })
	})
	t.Run("write and close are interrupted", func(t *testing.T) {
		quickly(t, 3*time.Second, func() {
			exec.Command("timeout", "1", "sh", "-c", "echo x > "+m.Path("new")).Run()
		})
	})
	t.Run("df and status answer", func(t *testing.T) { stillAnswers(t, m) })
	t.Run("a thousand programs wait and are killed", func(t *testing.T) {
		readers := exec.Command("sh", "-c", "for i in $(seq 1000); do cat "+m.Path("big")+" & done; echo; wait")
		readers.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		begun, err := readers.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := readers.Start(); err != nil {
			t.Fatal(err)
		}
		within(t, 3*time.Minute, func() { begun.Read(make([]byte, 1)) }) // all of them have been started
		stillAnswers(t, m)
		syscall.Kill(-readers.Process.Pid, syscall.SIGKILL)
		within(t, 30*time.Second, func() { readers.Wait() })
	})
	t.Run("umount ends or says why", func(t *testing.T) {
		within(t, 30*time.Second, func() {
			r := m.Run(t.Context(), "umount", "--timeout", "5s", m.Dir)
			if r.Status != 0 && strings.TrimSpace(r.Stderr) == "" {
				t.Errorf("umount ended with %d and said nothing", r.Status)
			}
		})
	})
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

// within fails the test if do takes longer than d, which is much more than it
// needs, for the machine may stand still, and less than the program would wait for
// the server.
func within(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	if took := timed(t, d, do); took > d {
		t.Errorf("took %v, more than %v", took.Round(time.Millisecond), d)
	}
}

// quickly fails the test if do takes longer than d three times in a row.
func quickly(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	var all []time.Duration
	for range 3 {
		took := timed(t, d, do)
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
