package cors

import (
	"fmt"
	"strings"
)

// around is how many unchanged lines Diff shows on each side of a change:
// enough to see whose list a value is in.
const around = 4

// Diff shows what changes from before to after, as lines of YAML, one value
// each, with "- " before what goes, "+ " before what comes and "  " before
// what stays. It is empty if nothing changes.
func Diff(before, after []Rule) string {
	if Equal(before, after) {
		return ""
	}
	lines := atRules(align(splitLines(before), splitLines(after)))
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] == ' ' {
			continue
		}
		for j := max(0, i-around); j <= min(len(lines)-1, i+around); j++ {
			near[j] = true
		}
	}
	var b strings.Builder
	for i := 0; i < len(lines); {
		if near[i] {
			b.WriteString(lines[i] + "\n")
			i++
			continue
		}
		first := i
		for i < len(lines) && !near[i] {
			i++
		}
		fmt.Fprintf(&b, "  ... %s\n", countLines(i-first))
	}
	return b.String()
}

func countLines(n int) string {
	if n == 1 {
		return "1 unchanged line"
	}
	return fmt.Sprintf("%d unchanged lines", n)
}

func splitLines(rules []Rule) []string {
	return strings.Split(strings.TrimSuffix(string(YAML(rules)), "\n"), "\n")
}

// align marks the lines of a and b by a longest common subsequence. The table
// is len(a)*len(b) small numbers: 5,000 lines, more than S3 stores in 64 KiB,
// are 100 MB for a moment, and ordinary rules next to nothing.
func align(a, b []string) []string {
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}

// atRules moves a run of lines that go, or come, up to where a rule begins, if
// the same change can be told that way: "this rule goes" rather than "the end
// of this one and the beginning of the next".
func atRules(lines []string) []string {
	for from := 0; from < len(lines); {
		to := from
		for to < len(lines) && lines[to][0] == lines[from][0] {
			to++
		}
		if lines[from][0] != ' ' {
			slideUp(lines, from, to)
		}
		from = to
	}
	return lines
}

// slideUp moves the run [from, to) up over unchanged lines. That tells the same
// change as long as the line it moves over is also the run's last.
func slideUp(lines []string, from, to int) {
	mark := lines[from][:2]
	up := from
	for {
		if strings.HasPrefix(lines[up][2:], "  - ") {
			break
		}
		n := from - up // lines moved over so far
		if up == 0 || lines[up-1][0] != ' ' || lines[up-1][2:] != lines[to-1-n][2:] {
			return
		}
		up--
	}
	for i := up; i < from; i++ {
		lines[i] = mark + lines[i][2:]
	}
	for i := to - (from - up); i < to; i++ {
		lines[i] = "  " + lines[i][2:]
	}
}
