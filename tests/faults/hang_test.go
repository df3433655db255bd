package faults

import (
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
// interrupted within a second, df answers at once, and umount ends or says why
// within ten seconds. Nothing here is saved or lost: it is only about waiting.
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
		within(t, 3*time.Second, func() { exec.Command("timeout", "1", "cat", m.Path("big")).Run() })
	})
	t.Run("ls is interrupted", func(t *testing.T) {
		within(t, 3*time.Second, func() { exec.Command("timeout", "1", "ls", m.Path("unknown")).Run() })
	})
	t.Run("write and close are interrupted", func(t *testing.T) {
		within(t, 3*time.Second, func() {
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
		within(t, time.Minute, func() { begun.Read(make([]byte, 1)) }) // all of them have been started
		stillAnswers(t, m)
		syscall.Kill(-readers.Process.Pid, syscall.SIGKILL)
		within(t, 10*time.Second, func() { readers.Wait() })
	})
	t.Run("umount ends or says why", func(t *testing.T) {
		within(t, 10*time.Second, func() {
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
	within(t, time.Second, func() {
		if out, err := exec.Command("df", m.Dir).CombinedOutput(); err != nil {
			t.Errorf("df: %v: %s", err, out)
		}
	})
	within(t, 2*time.Second, func() {
		if r := m.Run(t.Context(), "status", m.Dir); r.Status != 0 {
			t.Errorf("status: %d: %s", r.Status, r.Stderr)
		}
	})
}

// The server goes away in the middle of hundreds of operations and comes back:
// every operation ends, those that said success did what they said, and the
// mount heals without being mounted anew.
func TestServerVanishesAmidOperations(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	const writers, rounds = 20, 30
	var mu sync.Mutex
	saved := map[string]int{}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for r := range rounds {
				name := fmt.Sprintf("file-%d-%d", w, r)
				if os.WriteFile(m.Path(name), harness.Noise(uint64(w*rounds+r), 20_000), 0o644) == nil {
					mu.Lock()
					saved[name] = w*rounds + r
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	s.Kill()
	time.Sleep(2 * time.Second)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	within(t, 90*time.Second, group.Wait)
	if len(saved) < writers {
		t.Errorf("only %d of %d writes succeeded over an outage of two seconds", len(saved), writers*rounds)
	}
	for name, seed := range saved {
		if got := client.Get(t, name); string(got) != string(harness.Noise(uint64(seed), 20_000)) {
			t.Errorf("%s was saved, and holds %d other bytes", name, len(got))
		}
	}
	if err := os.WriteFile(m.Path("afterwards"), []byte("x"), 0o644); err != nil {
		t.Errorf("after the server came back: %v", err)
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

// within fails the test if do takes longer than d. It does not end do.
func within(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		if took := time.Since(start); took > d {
			t.Errorf("took %v, more than %v", took.Round(time.Millisecond), d)
		}
	case <-time.After(d + 20*time.Second):
		t.Fatalf("did not end in %v", d+20*time.Second)
	}
}
