package snapshot

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// killRounds is how often each of four commands is killed.
const killRounds = 7

// TestKilledCommandsAreRepeated makes, restores and thins out snapshots over and
// over, kills each command with SIGKILL at one of its requests, earlier or later in
// its work, and runs it again, while somebody else writes all the time. Whenever it
// died: a snapshot is complete or does not exist, those that existed still do, each
// has all its objects, and nothing is copied twice.
func TestKilledCommandsAreRepeated(t *testing.T) {
	d := newDesk(t)
	v := &victim{desk: d, stable: d.fill(), whole: map[string]int{}, must: map[string]bool{}}
	w := startWriter(t, d)
	defer w.stop()
	v.copies = &copyCounter{next: server.Proxy.Upstream(), on: w.turn, made: map[string]int{}}
	server.Proxy.Harm(v.copies)
	defer server.Proxy.Harm(nil)

	latest := d.create()
	v.must[latest.ID] = true
	for round := range killRounds + 1 { // the first kills nothing, and counts what there is to be killed at
		v.round = round
		full := v.create("full")
		v.must[full.ID] = true
		v.restore(full)
		d.Put(t, "a.txt", []byte(fmt.Sprint("changed in round ", round)))
		v.stable["a.txt"] = fmt.Sprint("changed in round ", round)
		links := v.create("incremental", "--incremental")
		v.must[links.ID] = true
		v.prune(links)
		v.deleteSafety()
	}
	t.Logf("%d kills, %d runs resumed, %d snapshots were complete when the run that made them died; requests of each %v, %d writes",
		v.kills, v.resumed, v.complete, v.whole, w.stop())
	if v.kills < 2*killRounds || v.resumed < killRounds/2 {
		t.Errorf("%d of %d kills hit a request, %d runs were resumed: the test proves too little", v.kills, 4*killRounds, v.resumed)
	}
	v.wantNothingElse()
}

// victim is who runs commands that are killed, and knows what must be there.
type victim struct {
	*desk
	stable map[string]string // the objects that the writer leaves alone
	copies *copyCounter
	round  int
	whole  map[string]int  // requests of a command that nobody kills
	must   map[string]bool // the snapshots that must exist

	kills, resumed, complete int
}

// killed runs a command that is killed, and looks at what that leaves. One that
// came to its end before says so.
func (v *victim) killed(name string, args ...string) (ended bool) {
	v.Helper()
	v.copies.reset()
	at, when := 1<<30, harness.Before
	if v.round > 0 {
		at = 1 + (v.whole[name]-1)*(v.round-1)/(killRounds-1) // from the first to the last
		when = harness.Moment((v.round + len(name)) % 3)
	}
	killer := harness.NewKiller(v.copies, ofProgram, at, when)
	server.Proxy.Harm(killer)
	cmd := v.command(v.Context(), args...)
	if err := cmd.Start(); err != nil {
		v.Fatal(err)
	}
	killer.Aim(cmd.Process.Pid)
	err := cmd.Wait()
	server.Proxy.Harm(v.copies)
	if !killer.Struck() {
		if status := cmd.ProcessState.ExitCode(); status != 0 && !v.mayDiffer(name, status) {
			v.Fatalf("round %d: %s: %v", v.round, name, err)
		}
		if n := killer.Seen(); v.round == 0 || n < v.whole[name] {
			v.whole[name] = n // later rounds begin with fewer snapshots
		}
		return true
	}
	killer.Wait()
	v.kills++
	v.check(fmt.Sprintf("round %d, %s killed %s request %d", v.round, name, when, at))
	v.leasesExpire()
	return false
}

// mayDiffer says whether a status is only about what the writer did meanwhile.
func (v *victim) mayDiffer(name string, status int) bool { return name == "restore" && status == 7 }

func ofProgram(r *http.Request) bool { return strings.Contains(r.UserAgent(), "cgs3fs") }

// check looks at the snapshots after whatever happened.
func (v *victim) check(when string) (there map[string]listed) {
	v.Helper()
	server.Proxy.Harm(nil) // the writer waits
	defer server.Proxy.Harm(v.copies)
	there = v.list()
	for id := range v.must {
		if _, ok := there[id]; !ok {
			v.Fatalf("%s: %s is gone", when, id)
		}
	}
	for id, s := range there {
		if want := len(v.stable) + liveKeys; s.Mode != "safety" && (s.Objects != int64(want) || s.State != "complete") {
			v.Fatalf("%s: %s is %s and has %d objects of %d", when, id, s.State, s.Objects, want)
		}
	}
	if len(there) == 0 {
		return there
	}
	if r := v.Try("snapshot", "verify", "--all", "--level", "read", "--progress", "none"); r.Status != 0 {
		v.Fatalf("%s: verify ends with %d\n%s%s", when, r.Status, r.Stdout, r.Stderr)
	}
	return there
}

// listed is what list --json tells of a snapshot.
type listed struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Mode    string `json:"mode"`
	Objects int64  `json:"objects"`
}

// list returns the snapshots that exist.
func (v *victim) list() map[string]listed {
	v.Helper()
	var all []listed
	out := v.snapshot(0, "list", "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		v.Fatalf("%v:\n%s", err, out)
	}
	there := map[string]listed{}
	for _, s := range all {
		if s.State == "complete" || s.State == "partial" {
			there[s.ID] = s
		}
	}
	return there
}

// leasesExpire makes the claims and locks in the server's directory eleven minutes
// old, as if somebody had waited so long.
func (v *victim) leasesExpire() {
	v.Helper()
	long := time.Now().Add(-11 * time.Minute)
	err := filepath.WalkDir(filepath.Join(server.Root, v.Bucket, "data", ".cgs3fs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.Name() == "claim.json" || e.Name() == "lock") {
			return os.Chtimes(path, long, long)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		v.Fatal(err)
	}
}

// create makes a snapshot in two runs. What the first has copied, the second has not.
func (v *victim) create(name string, flags ...string) made {
	v.Helper()
	before := v.list()
	args := append([]string{"create", "--progress", "none", "--json"}, flags...)
	ended := v.killed(name, args...)
	var fresh []string
	for id := range v.list() {
		if _, old := before[id]; !old {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 1 { // complete when it died, or nobody killed it
		if !ended {
			v.complete++
		}
		v.must[fresh[0]] = true
	} else if len(fresh) > 1 || ended {
		v.Fatalf("round %d: a run made %v", v.round, fresh)
	}
	copied := v.copies.below("data/2")
	m := v.repeat(flags...)
	if m.Resumed {
		v.resumed++
	}
	if len(fresh) == 0 && copied > 0 && !m.Resumed {
		v.Errorf("round %d: %d copies were made, and %+v is another snapshot", v.round, copied, m)
	}
	v.check(fmt.Sprintf("round %d, %s", v.round, name))
	v.once(name)
	if name == "full" {
		for key := range v.stable {
			if n := v.copies.of(m.dated() + key); n != 1 && len(m.dated()+key) <= 1024 {
				v.Errorf("round %d: %s was copied %d times", v.round, key, n)
			}
		}
	}
	return m
}

// repeat makes the snapshot. Where the server's copies of what is being overwritten
// are not as it said, too often for one run, the run says so and the next goes on.
func (v *victim) repeat(flags ...string) made {
	v.Helper()
	for range 3 {
		r := v.Try(append([]string{"snapshot", "create", "--json", "--progress", "none"}, flags...)...)
		if r.Status == 0 || !strings.Contains(r.Stderr, "change or vanish as soon as they are made") {
			var m made
			if err := json.Unmarshal([]byte(r.Stdout), &m); err != nil || r.Status != 0 {
				v.Fatalf("create %q: exit status %d, %v\n%s%s", flags, r.Status, err, r.Stdout, r.Stderr)
			}
			return m
		}
		v.Log(r.Stderr)
		v.leasesExpire()
	}
	v.Fatalf("create %q can't be finished", flags)
	return made{}
}

// once checks that no copy was made twice. Where the writer comes between, two
// copies may be of two versions.
func (v *victim) once(name string) {
	v.Helper()
	for key, n := range v.copies.all() {
		if n > 1 && !strings.Contains(key, livePrefix) {
			v.Errorf("round %d: %s copies %s %d times", v.round, name, key, n)
		}
	}
}

// restore brings back, in two runs, what was lost and spoilt since the snapshot.
func (v *victim) restore(m made) {
	v.Helper()
	v.Delete(v, "many/007")
	v.Delete(v, "dir/b.txt")
	v.Put(v, "many/030", []byte(fmt.Sprint("spoilt in round ", v.round)))
	args := []string{"restore", m.ID, "--progress", "none"}
	v.killed("restore", args...)
	if r := v.Try(append([]string{"snapshot"}, args...)...); r.Status != 0 && !v.mayDiffer("restore", r.Status) {
		v.Fatalf("round %d: restore again: %d\n%s%s", v.round, r.Status, r.Stdout, r.Stderr)
	}
	v.check(fmt.Sprintf("round %d, restored", v.round))
	for _, key := range []string{"many/007", "dir/b.txt", "many/030"} {
		if got := string(v.Get(v, key)); got != v.stable[key] {
			v.Errorf("round %d: restored %s is %q", v.round, key, got)
		}
		if n := v.copies.of(key); n != 1 {
			v.Errorf("round %d: restores copy %s %d times", v.round, key, n)
		}
	}
	v.once("restore")
	kept := 0
	for key, n := range v.copies.all() {
		if strings.HasPrefix(key, "data/2") && strings.HasSuffix(key, "/many/030") {
			kept += n
		}
	}
	if kept != 1 {
		v.Errorf("round %d: what was spoilt was kept %d times", v.round, kept)
	}
}

// prune leaves, in two runs, the last snapshot, which links to others, and what the
// restores kept.
func (v *victim) prune(last made) {
	v.Helper()
	v.must = map[string]bool{last.ID: true}
	for id, s := range v.list() {
		if s.Mode == "safety" {
			v.must[id] = true
		}
	}
	args := []string{"prune", "--keep-last", "1", "--incomplete"}
	v.killed("prune", args...)
	v.snapshot(0, args...)
	if there := v.check(fmt.Sprintf("round %d, pruned", v.round)); len(there) != len(v.must) {
		v.Errorf("round %d: prune leaves %v", v.round, slices.Collect(maps.Keys(there)))
	}
	v.once("prune")
	if n := v.copies.of(last.dated() + "many/000"); n != 1 {
		v.Errorf("round %d: what others link to was copied %d times", v.round, n)
	}
}

// deleteSafety deletes what the restores of a round kept, so that later ones need
// not look at it as well.
func (v *victim) deleteSafety() {
	v.Helper()
	args := []string{"delete"}
	for id, s := range v.list() {
		if s.Mode == "safety" {
			args = append(args, id)
			delete(v.must, id)
		}
	}
	v.snapshot(0, args...)
}

// wantNothingElse looks what is left beside the one snapshot that there must be.
func (v *victim) wantNothingElse() {
	v.Helper()
	last := slices.Sorted(maps.Keys(v.check("at the end")))
	if len(last) != 1 {
		v.Fatalf("%v are left", last)
	}
	v.wantOnly(last[0])
	dir := filepath.Join(v.Home, "last")
	if err := os.Mkdir(dir, 0o700); err != nil {
		v.Fatal(err)
	}
	v.snapshot(0, "restore", last[0], "--to-dir", dir)
	files := v.tree(dir)
	for key, want := range v.stable {
		if files[key] != want {
			v.Errorf("%s is %q in the end", key, files[key])
		}
		delete(files, key)
	}
	for key, data := range files {
		if !strings.HasPrefix(key, livePrefix) || !isOneVersion(data) {
			v.Errorf("%s in the last snapshot is %.99q", key, data)
		}
	}
}

func (v *victim) wantOnly(last string) {
	v.Helper()
	dated := made{ID: last}.dated()
	for _, key := range v.Keys(v, "data/") {
		if !strings.HasPrefix(key, dated) && !strings.HasPrefix(key, "data/.cgs3fs/"+last+"/") && key != "data/.cgs3fs/clock" {
			v.Errorf("%s is left", key)
		}
	}
	if pending, err := v.Pending(v.Context()); err != nil || len(pending) > 0 {
		v.Errorf("uploads %v are left, %v", pending, err)
	}
}

// copyCounter counts the copies that the server makes for the program.
type copyCounter struct {
	next http.RoundTripper
	on   func() // at each request of the program

	mu   sync.Mutex
	made map[string]int // guarded by mu; by key
}

func (c *copyCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	if ofProgram(r) {
		c.on()
	}
	resp, err := c.next.RoundTrip(r)
	if err == nil && resp.StatusCode < 300 && r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "" {
		_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		c.mu.Lock()
		defer c.mu.Unlock()
		c.made[key]++
	}
	return resp, err
}

func (c *copyCounter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = map[string]int{}
}

func (c *copyCounter) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.made)
}

func (c *copyCounter) of(key string) int { return c.all()[key] }

func (c *copyCounter) below(prefix string) (n int) {
	for key, times := range c.all() {
		if strings.HasPrefix(key, prefix) {
			n += times
		}
	}
	return n
}

// The objects that change all the time.
const (
	livePrefix = "live/"
	liveKeys   = 20
)

// writer writes objects while a program works: one for every third request, so that
// on a slow machine, too, the program has the time to copy what it has seen. Each
// version is of one letter, and none is as long as the one before.
type writer struct {
	turns  chan struct{}
	asked  chan struct{} // has room for as many requests as make a turn
	quit   chan struct{}
	ended  chan struct{}
	once   sync.Once
	writes int // read it after ended
}

func startWriter(t *testing.T, d *desk) *writer {
	t.Helper()
	w := &writer{turns: make(chan struct{}, 1), asked: make(chan struct{}, 3), quit: make(chan struct{}), ended: make(chan struct{})}
	for i := range liveKeys {
		d.Put(t, fmt.Sprintf("%s%02d", livePrefix, i), []byte("a"))
	}
	go func() {
		defer close(w.ended)
		for {
			select {
			case <-w.quit:
				return
			case <-w.turns:
			}
			w.writes++
			data := strings.Repeat(string(rune('a'+w.writes%26)), 1+w.writes%5000)
			if err := d.Write(t.Context(), fmt.Sprintf("%s%02d", livePrefix, w.writes%liveKeys), []byte(data)); err != nil {
				t.Errorf("the writer: %v", err)
			}
		}
	}()
	return w
}

// turn is called at each request of the program.
func (w *writer) turn() {
	select {
	case w.asked <- struct{}{}:
		return
	default:
	}
	for range cap(w.asked) {
		select {
		case <-w.asked:
		default:
		}
	}
	select {
	case w.turns <- struct{}{}:
	default: // it is behind
	}
}

// stop ends the writer and tells how often it wrote.
func (w *writer) stop() int {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
	return w.writes
}

func isOneVersion(data string) bool { return strings.Trim(data, data[:min(len(data), 1)]) == "" }
