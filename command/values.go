package command

import (
	"math"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
)

// values reads flags that are numbers with a unit. The first mistake is kept.
type values struct {
	c   *cli.Context
	err error
}

func (v *values) wrong(name, form string) {
	if v.err == nil {
		v.err = usagef("--%s %q is not understood", name, v.c.String(name)).try("%s", form)
	}
}

// size reads 512M, 1GiB, or a number of bytes. Units are powers of 1024, as in
// every program of this field.
func (v *values) size(name string) int64 {
	s := v.c.String(name)
	if s == "" {
		return 0
	}
	n, ok := parseSize(s)
	if !ok {
		v.wrong(name, "sizes look like 512M or 10GiB")
	}
	return n
}

func parseSize(s string) (int64, bool) {
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') {
		end--
	}
	unit := s[end:]
	if len(unit) == 1 && unit != "b" && unit != "B" {
		unit += "iB"
	}
	n, err := humanize.ParseBytes(s[:end] + unit)
	if err != nil || n > 1<<62 {
		return 0, false
	}
	return int64(n), true
}

// ttl reads 60, 60s or 1m, and mount-s3's words.
func (v *values) ttl(name string) time.Duration {
	switch s := v.c.String(name); s {
	case "minimal":
		return 0
	case "indefinite":
		return 365 * 24 * time.Hour
	default:
		d, ok := parseDuration(s)
		if !ok {
			v.wrong(name, "durations look like 60, 60s or 1m")
		}
		return d
	}
}

func parseDuration(s string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second)), true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// mode reads octal permission bits.
func (v *values) mode(name string) uint32 {
	n, err := strconv.ParseUint(v.c.String(name), 8, 32)
	if err != nil || n > 0o7777 {
		v.wrong(name, "permissions are octal, such as 0644")
	}
	return uint32(n)
}

// id reads the number of a user or a group.
func (v *values) id(name string, otherwise int) uint32 {
	if !v.c.IsSet(name) {
		return uint32(otherwise)
	}
	n := v.c.Int(name)
	if (n < 0 || n >= math.MaxUint32) && v.err == nil { // the last one means nobody to the kernel
		v.err = usagef("--%s %d is no %s", name, n, name)
	}
	return uint32(n)
}
