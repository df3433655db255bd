package snapshot

import (
	"fmt"
	"slices"
	"time"
)

// Policy says which snapshots to keep. Its rules add up: a snapshot that any
// rule wants stays. Periods are of the calendar in UTC; a rule with n keeps the
// newest snapshot of each of the n newest periods that have one.
type Policy struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int

	Within time.Duration // all that are not older than this before the newest
	Tags   []string      // all that have one of these
}

// Empty says whether the policy has no rule.
func (p Policy) Empty() bool {
	return p.Last <= 0 && p.Hourly <= 0 && p.Daily <= 0 && p.Weekly <= 0 && p.Monthly <= 0 && p.Yearly <= 0 &&
		p.Within <= 0 && len(p.Tags) == 0
}

// Decision is what a policy says about one snapshot. Without a reason to keep
// it, it goes.
type Decision struct {
	Info
	Reasons []string
}

// Keep says whether the snapshot stays.
func (d Decision) Keep() bool { return len(d.Reasons) > 0 }

// period is a rule of Policy that keeps the newest of each period.
type period struct {
	name string
	n    int
	of   func(time.Time) string // the period that a time is in
}

func (p Policy) periods() []period {
	layout := func(form string) func(time.Time) string {
		return func(t time.Time) string { return t.Format(form) }
	}
	week := func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}
	return []period{
		{"hourly", p.Hourly, layout("2006-01-02T15h")},
		{"daily", p.Daily, layout(dayForm)},
		{"weekly", p.Weekly, week},
		{"monthly", p.Monthly, layout("2006-01")},
		{"yearly", p.Yearly, layout("2006")},
	}
}

// safetyAge is how long what a restore overwrote is kept whatever the policy:
// long enough to notice that it was the wrong one.
const safetyAge = 7 * 24 * time.Hour

// Apply decides about existing snapshots, oldest first. Whatever the policy, the
// pinned stay, those from the future, and the newest that is complete.
func (p Policy) Apply(list []Info, now time.Time) []Decision {
	decisions := make([]Decision, len(list))
	newest := time.Time{}
	for i, info := range list {
		decisions[i].Info = info
		if t := info.Started; t.After(newest) && !t.After(now) && info.Mode != Safety {
			newest = t
		}
	}
	p.keepAlways(decisions, now)
	counts := make([]int, len(p.periods()))
	lastOf := make([]string, len(p.periods()))
	last := 0
	for i := range slices.Backward(decisions) {
		d := &decisions[i]
		if d.Started.After(now) || d.Mode == Safety {
			continue // must not use up what the rules keep
		}
		if last < p.Last {
			last++
			d.because("last %d of %d", last, p.Last)
		}
		for j, rule := range p.periods() {
			if of := rule.of(d.Started.UTC()); counts[j] < rule.n && of != lastOf[j] {
				counts[j]++
				lastOf[j] = of
				d.because("%s %s, %d of %d", rule.name, of, counts[j], rule.n)
			}
		}
		if p.Within > 0 && newest.Sub(d.Started) <= p.Within {
			d.because("within %s of the newest", p.Within)
		}
	}
	return decisions
}

// keepAlways gives the reasons that need no rule, and those by tag.
func (p Policy) keepAlways(decisions []Decision, now time.Time) {
	lastComplete := -1
	for i := range decisions {
		d := &decisions[i]
		if d.State == Complete && d.Mode != Safety {
			lastComplete = i
		}
		if d.Mode == Safety && now.Sub(d.Started) <= safetyAge {
			d.because("safety copy, kept %d days", safetyAge/(24*time.Hour))
		}
		if d.Pinned {
			d.because("pinned")
		}
		if d.Started.After(now) {
			d.because("from the future")
		}
		for _, tag := range p.Tags {
			if slices.Contains(d.Tags, tag) {
				d.because("tag %s", tag)
			}
		}
	}
	if lastComplete >= 0 {
		decisions[lastComplete].because("newest complete one")
	}
}

func (d *Decision) because(format string, args ...any) {
	d.Reasons = append(d.Reasons, fmt.Sprintf(format, args...))
}
