package mount

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// sourceTree makes a directory on the local disk as people have them: nested,
// with modes, times, a symlink, an empty file and an empty directory.
func sourceTree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for i := range 40 {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%5), fmt.Sprintf("e%d", i%3))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sub, fmt.Sprintf("file %d.txt", i)), harness.Noise(uint64(i), i*997))
	}
	write(t, filepath.Join(dir, "script.sh"), []byte("#!/bin/sh\necho ran\n"))
	if err := os.Chmod(filepath.Join(dir, "script.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "empty"), nil)
	write(t, filepath.Join(dir, "ünïcode"), []byte("u"))
	if err := os.Mkdir(filepath.Join(dir, "emptydir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d0/e0", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "find", ".", "-exec", "touch", "-h", "-d", "2020-02-03T04:05:06Z", "{}", "+")
	return dir
}

func TestGit(t *testing.T) {
	need(t, "git")
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	origin := sourceTree(t)
	run(t, origin, "git", "init", "-q", "-b", "main")
	run(t, origin, "git", "add", ".")
	run(t, origin, "git", "commit", "-qm", "first")

	run(t, m.Dir, "git", "clone", "-q", "--no-hardlinks", origin, "clone")
	clone := m.Path("clone")
	write(t, filepath.Join(clone, "new"), harness.Noise(9, 300_000))
	run(t, clone, "git", "add", ".")
	run(t, clone, "git", "commit", "-qm", "second")
	run(t, clone, "git", "checkout", "-q", "-b", "side", "HEAD~1")
	run(t, clone, "git", "checkout", "-q", "main")
	run(t, clone, "git", "gc", "-q")
	run(t, clone, "git", "fsck", "--strict")
	m.Remount(t)
	run(t, clone, "git", "fsck", "--strict")
	if out := run(t, clone, "git", "log", "--format=%s"); out != "second\nfirst\n" {
		t.Errorf("the log is %q", out)
	}
	wantContent(t, filepath.Join(clone, "new"), harness.Noise(9, 300_000))
}

func TestTar(t *testing.T) {
	need(t, "tar", "diff")
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	tree := sourceTree(t)
	run(t, filepath.Dir(tree), "tar", "cf", m.Path("tree.tar"), "tree")
	run(t, m.Dir, "tar", "xf", "tree.tar")
	run(t, m.Dir, "diff", "-r", "--no-dereference", tree, "tree")
	run(t, m.Dir, "tar", "czf", "again.tgz", "tree")
	m.Remount(t)
	run(t, m.Dir, "diff", "-r", "--no-dereference", tree, "tree")
	run(t, m.Dir, "tar", "tzf", "again.tgz")
}

// With the metadata read back, rsync finds nothing to do the second time, also
// after a remount.
func TestRsyncTransfersNothingTheSecondTime(t *testing.T) {
	need(t, "rsync")
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket, "--posix-metadata")
	tree := sourceTree(t)
	run(t, m.Dir, "rsync", "-a", tree+"/", "tree/")
	run(t, m.Dir, "diff", "-r", "--no-dereference", tree, "tree")
	for _, when := range []string{"at once", "after a remount"} {
		if out := run(t, m.Dir, "rsync", "-ai", tree+"/", "tree/"); out != "" {
			t.Errorf("the second rsync, %s, did:\n%s", when, out)
		}
		m.Remount(t)
	}
	run(t, m.Dir, "rsync", "-a", "--delete", "--exclude=d*", tree+"/", "tree/")
}

// rsync opens what it writes for reading, too. It must not take the whole file's
// room on the staging disk.
func TestRsyncStreamsLargeFiles(t *testing.T) {
	need(t, "rsync")
	s := harness.NewServer(t)
	client := s.Bucket(t)
	dir := t.TempDir()
	data := harness.Noise(3, 200<<20)
	write(t, filepath.Join(dir, "big"), data)
	m := s.Mount(t, client.Bucket, "--memory-limit", "128M", "--stage-dir", filepath.Join(harness.SmallDisk(t, "16m"), "stage"))
	run(t, m.Dir, "rsync", "-a", "--whole-file", filepath.Join(dir, "big"), "big")
	if got := client.Get(t, "big"); !bytes.Equal(got, data) {
		t.Errorf("the object has %d other bytes than the file's %d", len(got), len(data))
	}
}

func TestSqlite(t *testing.T) {
	need(t, "sqlite3")
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	script := `create table t (n integer primary key, text);
		begin;` + strings.Repeat(" insert into t (text) values (hex(randomblob(300)));", 500) + ` commit;
		update t set text = 'changed' where n % 7 = 0;
		delete from t where n % 11 = 0;
		vacuum;
		select count(*), sum(text = 'changed') from t;`
	out := run(t, m.Dir, "sqlite3", "db", script)
	if out != "455|65\n" {
		t.Errorf("counts are %q", out)
	}
	m.Remount(t)
	if out := run(t, m.Dir, "sqlite3", "db", "pragma integrity_check; select count(*) from t"); out != "ok\n455\n" {
		t.Errorf("after a remount: %q", out)
	}
}

// Locks of one program keep another one out, and end with it. sqlite3 takes
// fcntl locks, flock(1) the other kind.
func TestLocksKeepOthersOut(t *testing.T) {
	need(t, "flock", "sqlite3")
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	for name, script := range map[string]string{
		// The kernel tells the mount of a lock's end with its file's, after close: -w waits for that.
		"flock": `touch f && flock f sh -c '! flock -n f true' && flock -w 60 f true && flock -s f flock -ns f true`,
		"fcntl": `sqlite3 db 'create table t (n)'
			printf '%s\n' 'begin immediate;' '.shell sqlite3 db "insert into t values (1)" 2>&1' 'commit;' | sqlite3 db | grep -q locked
			sqlite3 db 'insert into t values (2)' && test "$(sqlite3 db 'select n from t')" = 2`,
	} {
		t.Run(name, func(t *testing.T) { run(t, m.Dir, "sh", "-ec", script) })
	}
}

// Editors save in these ways; each must leave the new content, and no more.
func TestEditorSaves(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	for name, script := range map[string]string{
		"in place":          `printf new > f`,
		"rename over":       `printf new > .f.swp && mv .f.swp f`,
		"backup and rename": `mv f f~ && printf new > f && rm f~`,
		"write, sync, move": `printf new > 4913 && sync 4913 && chmod 640 4913 && mv -f 4913 f`,
		"sed -i":            `sed -i 's/.*/new/' f`,
		"append":            `: > f && printf ne >> f && printf w >> f`,
		"patch the middle":  `printf nxw > f && printf e | dd of=f bs=1 seek=1 conv=notrunc status=none`,
		"truncate then cat": `truncate -s 0 f && printf new | cat >> f`,
		"shell read-write":  `exec 3<>f && printf new >&3 && exec 3>&- && truncate -s 3 f`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := m.Path(name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "f"), []byte("old content"))
			run(t, dir, "sh", "-ec", script)
			got := strings.TrimSuffix(string(client.Get(t, name+"/f")), "\n")
			if got != "new" {
				t.Errorf("the object holds %q", got)
			}
			wantNames(t, dir, "f")
		})
	}
}

// A log written by a shell loop opens and closes the file for each line.
func TestShellLoopAppends(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	run(t, m.Dir, "sh", "-ec", `for i in $(seq 100); do echo line $i >> log; done`)
	run(t, m.Dir, "sh", "-ec", `(for i in $(seq 300); do date > /dev/null; echo line $i; done) > once`)
	if n := strings.Count(string(client.Get(t, "log")), "\n"); n != 100 {
		t.Errorf("the log has %d lines, want 100", n)
	}
	if n := strings.Count(string(client.Get(t, "once")), "\n"); n != 300 {
		t.Errorf("the redirected output has %d lines, want 300", n)
	}
}

func TestScriptsRunFromTheMount(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	write(t, m.Path("script.sh"), []byte("#!/bin/sh\necho ran\n"))
	if err := os.Chmod(m.Path("script.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := run(t, m.Dir, "./script.sh"); out != "ran\n" {
		t.Errorf("the script printed %q", out)
	}
	run(t, m.Dir, "cp", "/bin/true", "prog")
	run(t, m.Dir, "./prog")
}
