package command

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// printable keeps control characters of names and notes away from the terminal.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	if inner := quoted[1 : len(quoted)-1]; inner == s || !strings.ContainsFunc(s, isControl) {
		return s
	}
	return quoted
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' }

// oneLine is a text for people in one line. What a server, a key or a name had
// in it can't steer the terminal.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if isControl(r) {
			quoted := fmt.Sprintf("%q", s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,~-]+$`)

// shellWord is a path as a shell takes it, in a command that the user may copy.
func shellWord(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	switch {
	case plainWord.MatchString(path) && path[0] != '~':
		return path
	case strings.ContainsFunc(path, isControl):
		return "$'" + ansiC(path) + "'"
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// ansiC writes what a terminal would not show as bash, zsh and others take it
// between $' and '.
func ansiC(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\\' || c == '\'':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
