package command

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestNothingSteersTheTerminal(t *testing.T) {
	const evil = "a\x1b[2Jb\rc\x9b\xff"
	var out bytes.Buffer
	printError(&out, fail(exitFailed, "the server says %s\nand more", evil).try("look at %s", evil))
	if err := printTable(&out, [][]string{{"NAME", "SIZE"}, {evil, "two\nlines"}}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(strings.ReplaceAll(out.String(), "\n", ""), isControl); i >= 0 {
		t.Errorf("byte %d steers:\n%q", i, out.String())
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want 4:\n%s", n, out.String())
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":        "plain",
		" two\nlines ": "two; lines",
		"ünï 漢":        "ünï 漢",
		"a\tb\x1b":     `a\tb\x1b`,
	} {
		var out bytes.Buffer
		printError(&out, errors.New(in))
		if got := out.String(); got != "cgs3fs: "+want+"\n" {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// What is printed to be copied means the same to a shell.
func TestShellWordIsThePath(t *testing.T) {
	for _, path := range []string{
		"bucket", "./bucket", "/mnt/my bucket", "-dash", "~", "quote's", `double"s`, "$(id)", "`id`", "back\\slash", "ünï",
		"new\nline", "esc\x1b[2J", "both'\n\\", "\xff", "*", "a;b", "#x",
	} {
		got := shellWord(path)
		if strings.ContainsFunc(got, isControl) {
			t.Errorf("%q: %q steers the terminal", path, got)
		}
		out, err := exec.Command("bash", "-c", "printf %s "+got).Output()
		if err != nil || strings.TrimPrefix(string(out), "./") != strings.TrimPrefix(path, "./") {
			t.Errorf("%q as %s is %q to a shell, %v", path, got, out, err)
		}
		if strings.HasPrefix(string(out), "-") {
			t.Errorf("%q as %s is an option", path, got)
		}
	}
	if got := shellWord("./bucket"); got != "./bucket" {
		t.Errorf("what needs no quotes has some: %s", got)
	}
}
