package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cgroup is a control group in which a process may use only so much memory. The
// kernel kills a process that needs more, so a program that keeps to its budget
// only by its own account does not get away with it.
type Cgroup struct {
	dir   string
	limit string // the file that holds the limit
}

// NewCgroup makes a control group with a memory limit, of version 1 or 2,
// whichever this machine has. It is nil where none can be had: without root,
// and in most containers.
func NewCgroup(t testing.TB, limit int64) *Cgroup {
	t.Helper()
	name := "cgs3fs-test-" + token(6)
	for _, place := range cgroupPlaces() {
		g := &Cgroup{dir: filepath.Join(place.dir, name), limit: place.limit}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { g.remove(t) })
		if err := os.WriteFile(filepath.Join(g.dir, g.limit), []byte(strconv.FormatInt(limit, 10)), 0); err == nil {
			return g
		}
	}
	return nil
}

type cgroupPlace struct{ dir, limit string }

// cgroupPlaces are the directories in which a group could be made: below our
// own one, and, for our own may be outside of what this container shows, at
// the root.
func cgroupPlaces() []cgroupPlace {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var places []cgroupPlace
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, own, _ := strings.Cut(rest, ":")
		switch {
		case controllers == "memory":
			for _, dir := range []string{own, "/"} {
				places = append(places, cgroupPlace{filepath.Join("/sys/fs/cgroup/memory", dir), "memory.limit_in_bytes"})
			}
		case id == "0":
			// A group that has processes can't have groups with limits below it.
			for _, dir := range []string{own, filepath.Dir(own), "/"} {
				places = append(places, cgroupPlace{filepath.Join("/sys/fs/cgroup", dir), "memory.max"})
			}
		}
	}
	return places
}

// Launcher starts a program in the group: for [MountOptions]. That of a nil
// group starts it as it is.
func (g *Cgroup) Launcher() []string {
	if g == nil {
		return nil
	}
	return []string{"sh", "-ec", `echo $$ >"$0"; exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
}

// Kills is how many processes of the group the kernel has killed because they
// needed more memory.
func (g *Cgroup) Kills(t testing.TB) int {
	t.Helper()
	file := "memory.events"
	if g.limit == "memory.limit_in_bytes" {
		file = "memory.oom_control"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	kills := -1
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "oom_kill %d", &kills)
	}
	if kills < 0 {
		t.Fatalf("%s does not say how many processes were killed:\n%s", file, text)
	}
	return kills
}

// remove takes the group away, which the kernel allows a moment after the last
// process has ended.
func (g *Cgroup) remove(t testing.TB) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := os.Remove(g.dir)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("removing the control group: %v", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
