package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// ours is the program that must not be slower than any other; memoryBound is
// what its process may occupy, in bytes.
const (
	ours        = "cgs3fs"
	memoryBound = 256 << 20
)

// results holds every measurement: seconds by row and program, and the peak
// memory of each program over all rows.
type results struct {
	bench *bench
	rows  []row
	took  map[string]map[string][]time.Duration
	peak  map[string]int64
}

// measure runs all rows. Programs take turns, and each round begins with
// another one, for whoever comes first may find the machine in another state.
func (b *bench) measure(ctx context.Context, w io.Writer) (*results, error) {
	r := &results{bench: b, took: map[string]map[string][]time.Duration{}, peak: map[string]int64{}}
	for _, row := range rows {
		if !b.set.only.MatchString(row.name) {
			continue
		}
		r.rows = append(r.rows, row)
		r.took[row.name] = map[string][]time.Duration{}
		for round := range b.set.rounds {
			for i := range b.set.programs {
				program := b.set.programs[(i+round)%len(b.set.programs)]
				took, peak, err := b.once(ctx, row, program)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", row.name, program, err)
				}
				fmt.Fprintf(w, "# %-26s %-7s %v\n", row.name, program, took.Round(time.Millisecond))
				r.took[row.name][program] = append(r.took[row.name][program], took)
				r.peak[program] = max(r.peak[program], peak)
			}
		}
	}
	return r, nil
}

// once measures one row with one program on a fresh mount.
func (b *bench) once(ctx context.Context, row row, program string) (took time.Duration, peak int64, err error) {
	if row.prepare != nil {
		if err := row.prepare(ctx, b); err != nil {
			return 0, 0, err
		}
	}
	m, err := b.mount(ctx, program)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, m.unmount()) }()
	dropPageCache()
	start := time.Now()
	end, err := row.do(ctx, b, m)
	if err != nil {
		return 0, 0, err
	}
	peak, err = harness.PeakRSS(m.cmd.Process.Pid)
	return end.Sub(start), peak, err
}

// print writes the table and reports whether cgs3fs held its own everywhere.
func (r *results) print(w io.Writer) bool {
	ok := true
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintf(t, "\trow\tunit\t%s\tbest of the others is beaten by\t\n", strings.Join(r.bench.set.programs, "\t"))
	for _, row := range r.rows {
		cells := []string{row.name, row.unit}
		for _, program := range r.bench.set.programs {
			cells = append(cells, row.figure(r.bench, r.median(row, program)))
		}
		ratio, known := r.ratio(row)
		verdict := ""
		if known {
			verdict = fmt.Sprintf("× %.2f", ratio)
			if ratio < 1 {
				verdict += " SLOWER"
				ok = false
			}
		}
		fmt.Fprintf(t, "\t%s\t%s\t\n", strings.Join(cells, "\t"), verdict)
	}
	cells := []string{"peak RSS", "MiB"}
	for _, program := range r.bench.set.programs {
		cells = append(cells, fmt.Sprint(r.peak[program]>>20))
	}
	verdict := ""
	if r.peak[ours] > memoryBound {
		verdict = fmt.Sprintf("OVER %d MiB", memoryBound>>20)
		ok = false
	}
	fmt.Fprintf(t, "\t%s\t%s\t\n", strings.Join(cells, "\t"), verdict)
	t.Flush()
	return ok
}

// ratio is how much faster cgs3fs was than the fastest of the others.
func (r *results) ratio(row row) (ratio float64, known bool) {
	mine := r.median(row, ours)
	for _, program := range r.bench.set.programs {
		if program == ours || mine == 0 {
			continue
		}
		if x := r.median(row, program).Seconds() / mine.Seconds(); !known || x < ratio {
			ratio, known = x, true
		}
	}
	return ratio, known
}

func (r *results) median(row row, program string) time.Duration {
	took := slices.Sorted(slices.Values(r.took[row.name][program]))
	if len(took) == 0 {
		return 0
	}
	return took[len(took)/2]
}

func (row row) figure(b *bench, took time.Duration) string {
	if row.work == nil {
		return fmt.Sprintf("%.2f", took.Seconds())
	}
	return fmt.Sprintf("%.0f", row.work(b)/took.Seconds())
}

// benchfmt writes all measurements the way go test does, which benchstat reads.
func (r *results) benchfmt() string {
	var b strings.Builder
	for _, row := range r.rows {
		name := strings.NewReplacer(" ", "", ",", "", "×", "x").Replace(row.name)
		for _, program := range r.bench.set.programs {
			for _, took := range r.took[row.name][program] {
				fmt.Fprintf(&b, "Benchmark_%s/program=%s 1 %d ns/op\n", name, program, took.Nanoseconds())
			}
		}
	}
	return b.String()
}
