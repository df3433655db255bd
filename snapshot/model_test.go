package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestModelOfRandomHistories makes, prunes, deletes, pins, restores and materializes
// snapshots in random order, with changes between and crashes amid, and compares
// with plain maps what exists after every step, and what is in it after some. With
// the race detector it is a quarter as long; .ci/unit also runs it without.
func TestModelOfRandomHistories(t *testing.T) {
	steps := 10_000
	if raceDetector {
		steps = 2500
	}
	if testing.Short() {
		steps = 1000
	}
	const length = 250
	var mu sync.Mutex
	did := map[string]int{}
	t.Run("histories", func(t *testing.T) {
		for seed := range steps / length {
			t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
				t.Parallel()
				m := newModel(t, uint64(seed))
				for m.at = range length {
					m.step()
				}
				m.check(true)
				mu.Lock()
				defer mu.Unlock()
				for what, n := range m.did {
					did[what] += n
				}
			})
		}
	})
	t.Logf("%v", did)
	changes := did["put"] + did["forget"]
	if changes > steps/3 {
		t.Errorf("%d of %d steps touch no snapshot", changes, steps)
	}
	for what, part := range map[string]int{ // of so many steps one, at least
		"create": 5, "incremental": 10, "create crashed": 20, "resumed": 50, "prune": 20, "prune crashed": 50, "pruned": 20,
		"prune refused": 100, "delete": 30, "delete crashed": 100, "delete refused": 100, "materialize": 50, "materialize crashed": 100,
		"pin": 50, "restore": 50, "copies moved": 100,
	} {
		if did[what] < steps/part {
			t.Errorf("%s: %d times in %d steps", what, did[what], steps)
		}
	}
}

// model is a world of which it is known which snapshots must exist, and what must
// be in them.
type model struct {
	*world
	t     *testing.T
	r     *rand.Rand
	at    int // the step
	snaps map[ID]*modelSnapshot
	did   map[string]int
}

type modelSnapshot struct {
	data    map[string]string
	started time.Time
	tags    []string
	pinned  bool
	safety  bool // made by a restore
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	return &model{
		world: newWorld(t), t: t, r: rand.New(rand.NewPCG(seed, 0)),
		snaps: map[ID]*modelSnapshot{}, did: map[string]int{},
	}
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("step %d: %s", m.at, fmt.Sprintf(format, args...))
}

// step does one thing, after some time.
func (m *model) step() {
	unit := []time.Duration{time.Minute, time.Hour}[m.r.IntN(2)]
	m.clock.advance(time.Duration(m.r.IntN(60)) * unit)
	key := fmt.Sprintf("k%d", m.r.IntN(12))
	what := m.r.IntN(20)
	switch {
	case what < 5 || m.at < 5:
		m.did["put"]++
		m.mem.PutBytes(key, []byte(fmt.Sprintf("%*d", m.r.IntN(90), m.at)))
		return
	case what == 5:
		m.did["forget"]++
		if err := m.mem.Delete(m.t.Context(), s3.Target{Key: key}); err != nil {
			m.fatalf("%v", err)
		}
		return
	case what < 12:
		m.create()
	case what < 15:
		m.prune()
	case what < 17:
		m.delete()
	case what == 17:
		m.materialize()
	case what == 18:
		m.pin()
	case what == 19:
		m.restore()
	}
	m.check(m.at%10 == 0)
}

// crashing is a store that fails at a random call, in half of the cases.
func (m *model) crashing(calls int) *Store {
	plan := s3test.Plan{}
	if m.r.IntN(2) == 0 {
		plan.Crash = s3test.Crash{At: 1 + m.r.IntN(calls), When: s3test.Moment(m.r.IntN(2))}
	}
	return m.open(s3test.NewFaulty(m.mem, plan))
}

// existing are the snapshots that there really are.
func (m *model) existing() map[ID]Info {
	m.t.Helper()
	list, err := m.store().List(m.t.Context())
	if err != nil {
		m.fatalf("%v", err)
	}
	infos := map[ID]Info{}
	for _, info := range Existing(list) {
		infos[info.ID] = info
	}
	return infos
}

// check compares what exists, and, if told to, what is in it.
func (m *model) check(closely bool) {
	m.t.Helper()
	infos := m.existing()
	if got, want := slices.Sorted(maps.Keys(infos)), m.ids(); !slices.Equal(got, want) {
		m.fatalf("there are %v, and must be %v", got, want)
	}
	s := m.store()
	for id, snap := range m.snaps {
		if i := infos[id]; i.State != Complete || i.Pinned != snap.pinned || !slices.Equal(i.Tags, snap.tags) || (i.Mode == Safety) != snap.safety {
			m.fatalf("%s is %+v", id, i)
		}
		if closely {
			wantSame(m.t, fmt.Sprintf("step %d: %s", m.at, id), contents(m.t, s, id), snap.data)
		}
	}
}

// ids are those that must exist, oldest first.
func (m *model) ids() []ID { return slices.Sorted(maps.Keys(m.snaps)) }

// some is one of them.
func (m *model) some() (ID, bool) {
	if len(m.snaps) == 0 {
		return "", false
	}
	ids := m.ids()
	return ids[m.r.IntN(len(ids))], true
}

func (m *model) create() {
	m.t.Helper()
	m.did["create"]++
	o := CreateOptions{Incremental: m.r.IntN(4) > 0}
	if o.Incremental {
		m.did["incremental"]++
	}
	if m.r.IntN(4) == 0 {
		o.Tags = []string{"tagged"}
	}
	snap := &modelSnapshot{data: m.live(), started: m.clock.now(), tags: o.Tags}
	made, err := m.crashing(60).Create(m.t.Context(), o)
	if err != nil {
		m.did["create crashed"]++
		m.clock.advance(leaseDead)
		for id := range m.existing() {
			if m.snaps[id] == nil { // the manifest was written
				m.made(id, snap)
				return
			}
		}
		if m.r.IntN(2) == 0 { // what is planned is of before the changes to come: give it up
			if _, err := m.store().Prune(m.t.Context(), PruneOptions{Incomplete: true}); err != nil {
				m.fatalf("giving up: %v", err)
			}
			return
		}
		if made, err = m.store().Create(m.t.Context(), o); err != nil {
			m.fatalf("resuming: %v", err)
		}
		if made.Resumed {
			m.did["resumed"]++
		} else {
			snap.started = m.clock.now()
		}
	}
	m.made(made.ID, snap)
}

// made notes a new snapshot.
func (m *model) made(id ID, snap *modelSnapshot) {
	m.t.Helper()
	if m.snaps[id] != nil {
		m.fatalf("%s was there before", id)
	}
	m.snaps[id] = snap
	wantSame(m.t, fmt.Sprintf("step %d: %s", m.at, id), contents(m.t, m.store(), id), snap.data)
}

func (m *model) prune() {
	m.t.Helper()
	o := PruneOptions{Policy: m.policy()}
	if o.Policy.Empty() {
		m.did["prune refused"]++
		if _, err := m.store().Prune(m.t.Context(), o); !errors.Is(err, ErrRefused) {
			m.fatalf("without a policy: %v", err)
		}
		return
	}
	m.did["prune"]++
	keep := m.keeps(o.Policy)
	pruned, err := m.crashing(30).Prune(m.t.Context(), o)
	if err != nil {
		m.did["prune crashed"]++
		m.crashed(keep)
		if m.r.IntN(2) == 0 {
			return
		}
		keep = m.keeps(o.Policy)
		if pruned, err = m.store().Prune(m.t.Context(), o); err != nil {
			m.fatalf("pruning again: %v", err)
		}
	}
	decided := map[ID]bool{}
	for _, d := range pruned.Decisions {
		decided[d.ID] = d.Keep()
	}
	if !maps.Equal(decided, keep) {
		m.fatalf("%+v at %s decides %v, and should %v", o.Policy, m.clock.now(), decided, keep)
	}
	before := len(m.snaps)
	m.remove(keep)
	m.did["pruned"] += before - len(m.snaps)
}

// remove notes that those are gone that were not to be kept.
func (m *model) remove(keep map[ID]bool) {
	maps.DeleteFunc(m.snaps, func(id ID, _ *modelSnapshot) bool { return !keep[id] })
}

// crashed notes which of those that were not to be kept a run has removed before
// it crashed.
func (m *model) crashed(keep map[ID]bool) {
	m.t.Helper()
	m.clock.advance(leaseDead)
	infos := m.existing()
	maps.DeleteFunc(m.snaps, func(id ID, _ *modelSnapshot) bool {
		_, there := infos[id]
		return !keep[id] && !there
	})
	m.check(true)
}

func (m *model) policy() Policy {
	n := func(most int) int { return max(0, m.r.IntN(4*most)-3*most) } // mostly no such rule
	p := Policy{Last: n(3), Hourly: n(4), Daily: n(4), Weekly: n(3), Monthly: n(3), Yearly: n(3)}
	if m.r.IntN(5) == 0 {
		p.Within = time.Duration(m.r.IntN(100)) * time.Hour
	}
	if m.r.IntN(5) == 0 {
		p.Tags = []string{"tagged", "other"}
	}
	return p
}

// keeps says what a policy leaves of the snapshots, by what people are told of it.
func (m *model) keeps(p Policy) map[ID]bool {
	keep := map[ID]bool{}
	var newestFirst []ID // without what restores made
	for _, id := range slices.Backward(m.ids()) {
		snap := m.snaps[id]
		keep[id] = snap.pinned || len(p.Tags) > 0 && len(snap.tags) > 0
		if snap.safety {
			keep[id] = keep[id] || m.clock.now().Sub(snap.started) <= 7*24*time.Hour
		} else {
			newestFirst = append(newestFirst, id)
		}
	}
	newestOfEach := func(n int, period func(ID, time.Time) any) {
		var seen []any
		for _, id := range newestFirst {
			of := period(id, m.snaps[id].started)
			if slices.Contains(seen, of) {
				continue
			}
			if seen = append(seen, of); len(seen) <= n {
				keep[id] = true
			}
		}
	}
	newestOfEach(max(p.Last, 1), func(id ID, _ time.Time) any { return id }) // the last one never goes
	newestOfEach(p.Hourly, func(_ ID, at time.Time) any { return at.Truncate(time.Hour) })
	newestOfEach(p.Daily, func(_ ID, at time.Time) any { return at.Truncate(24 * time.Hour) })
	newestOfEach(p.Weekly, func(_ ID, at time.Time) any {
		return at.AddDate(0, 0, -(int(at.Weekday())+6)%7).Truncate(24 * time.Hour) // its Monday
	})
	newestOfEach(p.Monthly, func(_ ID, at time.Time) any { return [2]int{at.Year(), int(at.Month())} })
	newestOfEach(p.Yearly, func(_ ID, at time.Time) any { return at.Year() })
	for _, id := range newestFirst {
		if p.Within > 0 && !m.snaps[id].started.Before(m.snaps[newestFirst[0]].started.Add(-p.Within)) {
			keep[id] = true
		}
	}
	return keep
}

// delete deletes one or two snapshots, also from the middle of a chain.
func (m *model) delete() {
	m.t.Helper()
	keep, kept, goes, refused := map[ID]bool{}, 0, 0, false
	var ids []ID
	for range 1 + m.r.IntN(2) {
		if id, ok := m.some(); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for id, snap := range m.snaps {
		keep[id] = !slices.Contains(ids, id)
		switch {
		case !keep[id] && snap.pinned:
			refused = true
		case snap.safety:
		case keep[id]:
			kept++
		default:
			goes++
		}
	}
	if refused || goes > 0 && kept == 0 {
		m.did["delete refused"]++
		if _, err := m.store().Delete(m.t.Context(), ids, DeleteOptions{}); !errors.Is(err, ErrRefused) {
			m.fatalf("deleting %v of %v: %v", ids, m.ids(), err)
		}
		return
	}
	m.did["delete"]++
	if _, err := m.crashing(30).Delete(m.t.Context(), ids, DeleteOptions{}); err != nil {
		m.did["delete crashed"]++
		m.crashed(keep)
		return
	}
	m.remove(keep)
}

func (m *model) materialize() {
	m.t.Helper()
	id, ok := m.some()
	if !ok {
		return
	}
	m.did["materialize"]++
	before := m.load(id)
	if err := m.crashing(20).Materialize(m.t.Context(), id); err != nil {
		m.did["materialize crashed"]++
		m.clock.advance(leaseDead)
		m.check(true)
		if err := m.store().Materialize(m.t.Context(), id); err != nil {
			m.fatalf("materializing %s again: %v", id, err)
		}
	}
	after := m.load(id)
	if after.Own != after.Objects {
		m.fatalf("%s has %d of %d objects", id, after.Own, after.Objects)
	}
	if before.Own < after.Own {
		m.did["copies moved"]++
	}
}

func (m *model) load(id ID) *Manifest {
	m.t.Helper()
	manifest, err := m.store().Load(m.t.Context(), id)
	if err != nil {
		m.fatalf("%v", err)
	}
	return manifest
}

// pin pins a snapshot, or more often ends that.
func (m *model) pin() {
	m.t.Helper()
	id, ok := m.some()
	if !ok {
		return
	}
	m.did["pin"]++
	for _, other := range m.ids() { // rather one that is pinned
		if m.snaps[other].pinned {
			id = other
		}
	}
	snap := m.snaps[id]
	snap.pinned = !snap.pinned && m.r.IntN(3) > 0
	if err := m.store().Pin(m.t.Context(), id, snap.pinned); err != nil {
		m.fatalf("%v", err)
	}
}

// restore brings back all of a snapshot. What it replaces is in another, perhaps
// beside objects that may differ in more than what they hold.
func (m *model) restore() {
	m.t.Helper()
	id, ok := m.some()
	if !ok {
		return
	}
	m.did["restore"]++
	before, want := m.live(), maps.Clone(m.snaps[id].data)
	o := RestoreOptions{Delete: !m.snaps[id].safety} // which holds too little for that
	if !o.Delete {
		maps.Copy(want, before)
		maps.Copy(want, m.snaps[id].data)
	}
	done, err := m.store().Restore(m.t.Context(), id, o)
	if err != nil || len(done.Damaged)+len(done.Conflicts)+len(done.Skipped) > 0 {
		m.fatalf("%+v, %v", done, err)
	}
	wantSame(m.t, fmt.Sprintf("step %d: what %s brings back", m.at, id), m.live(), want)
	kept := map[string]string{}
	if done.Safety != "" {
		kept = contents(m.t, m.store(), done.Safety)
		m.made(done.Safety, &modelSnapshot{data: kept, started: m.clock.now(), safety: true})
	}
	for key, data := range before {
		if got, there := kept[key]; there && got != data || !there && want[key] != data {
			m.fatalf("of %q before the restore of %s, %s has %q", data, id, key, got)
		}
	}
}
