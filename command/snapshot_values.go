package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

// parseAge reads 8d, 2w, 36h, or a duration as other flags take it, but no number
// alone: who writes 30 means days, and 30 seconds would keep nothing. A day is 24
// hours, a month 30 days and a year 365.
func parseAge(s string) (time.Duration, bool) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'d': day, 'w': 7 * day, 'y': 365 * day}
	if s == "" {
		return 0, true
	}
	unit, known := units[s[len(s)-1]]
	if rest, isMonths := strings.CutSuffix(s, "mo"); isMonths {
		s, unit, known = rest+"M", 30*day, true
	}
	if !known {
		_, err := strconv.ParseFloat(s, 64)
		d, ok := parseDuration(s)
		return d, ok && (err != nil || d == 0)
	}
	n, err := strconv.ParseFloat(s[:len(s)-1], 64)
	return time.Duration(n * float64(unit)), err == nil && n >= 0 && n < 100_000
}

// age reads a flag that is a length of time in days, mostly.
func (v *values) age(name string) time.Duration {
	d, ok := parseAge(v.c.String(name))
	if !ok {
		v.wrong(name, "ages look like 8d, 2w, 6mo or 36h")
	}
	return d
}

// keeps reads a flag of prune that says how many to keep.
func (v *values) keeps(name string) int {
	n := v.c.Int(name)
	if n < 0 && v.err == nil {
		v.err = usagef("--%s %d is not understood", name, n).try("it is how many to keep")
	}
	return n
}

// words reads a flag that is given once or more. An empty one, of a variable that is
// not set, is none that anybody means.
func (v *values) words(name string) []string {
	words := v.c.StringSlice(name)
	if slices.Contains(words, "") && v.err == nil {
		v.err = usagef("--%s \"\" is not understood", name).try("it must not be empty")
	}
	return words
}

// sample reads 3/7, or a percentage, which is one part of as many as it takes.
func (v *values) sample(name string) snapshot.Sample {
	s := v.c.String(name)
	if s == "" {
		return snapshot.Sample{}
	}
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		if p, err := strconv.ParseFloat(percent, 64); err == nil && p >= 1e-6 && p <= 100 {
			return snapshot.Sample{N: 1, Of: int(100/p + 0.5)}
		}
	} else if n, of, ok := strings.Cut(s, "/"); ok {
		part, errN := strconv.Atoi(n)
		parts, errOf := strconv.Atoi(of)
		if errN == nil && errOf == nil && part >= 1 && part <= parts {
			return snapshot.Sample{N: part, Of: parts}
		}
	}
	v.wrong(name, "samples look like 5% or 3/7")
	return snapshot.Sample{}
}

// objects is a number of objects and their size, for people.
func objects(n, bytes int64) string {
	word := "objects"
	if n == 1 {
		word = "object"
	}
	return fmt.Sprintf("%s %s, %s", humanize.Comma(n), word, humanize.IBytes(uint64(bytes)))
}

// costText is what a dry run says about requests.
func costText(c snapshot.Cost) string {
	var parts []string
	for _, kind := range []struct {
		n    int64
		name string
	}{{c.Lists, "listings"}, {c.Reads, "reads"}, {c.Writes, "writes"}, {c.Deletes, "deletions"}} {
		if kind.n > 0 {
			parts = append(parts, humanize.Comma(kind.n)+" "+kind.name)
		}
	}
	if len(parts) == 0 {
		return "requests: none"
	}
	return fmt.Sprintf("requests: %s, about $%.2f", strings.Join(parts, ", "), c.Dollars)
}
