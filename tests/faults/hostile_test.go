package faults

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// somebody is the number of a user who is neither root nor runs the tests.
const somebody = 12345

// trap is a place that somebody has prepared so that the mount would write
// where they want it to: into victim.
type trap struct {
	t            *testing.T
	root, victim string
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	p := &trap{t: t, root: t.TempDir()}
	p.victim = p.dir("victim", 0o755)
	return p
}

func (p *trap) path(name string) string { return filepath.Join(p.root, name) }

func (p *trap) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// dir makes a directory with a mode, whatever the umask.
func (p *trap) dir(name string, mode os.FileMode) string {
	p.t.Helper()
	path := p.path(name)
	p.must(errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Mkdir(path, 0o700), os.Chmod(path, mode)))
	return path
}

// link plants a symbolic link.
func (p *trap) link(name, to string) string {
	p.t.Helper()
	path := p.path(name)
	p.must(errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)))
	return path
}

// somebodys gives a file or a link, not what it leads to, to somebody else.
func (p *trap) somebodys(path string) string {
	p.t.Helper()
	if os.Getuid() != 0 {
		p.t.Skip("giving files away needs root")
	}
	p.must(os.Lchown(path, somebody, -1))
	return path
}

func state(dir string) harness.MountOptions {
	return harness.MountOptions{Env: []string{"XDG_STATE_HOME=" + dir}}
}

func flags(f ...string) harness.MountOptions { return harness.MountOptions{Flags: f} }

const everybody = 0o777

// complaint is what an error looks like: one line, and perhaps a hint.
var complaint = regexp.MustCompile(`\Acgs3fs: [^\n]+\n(  [^\n]+\n)?\z`)

// Where somebody else could have led the mount's own files elsewhere, the mount
// is refused in one clear line, and nothing is written there.
func TestPreparedDirectoriesAreRefused(t *testing.T) {
	s := harness.NewServer(t)
	bucket := s.Bucket(t).Bucket
	for _, row := range []struct {
		what  string
		plant func(*trap) harness.MountOptions
		says  string
	}{
		{"cache is a link", func(p *trap) harness.MountOptions { return flags("--cache", p.link("cache", p.victim)) }, "cache"},
		{"lock of the cache is a link", func(p *trap) harness.MountOptions {
			cache := p.dir("cache", 0o700)
			p.link("cache/lock", filepath.Join(p.victim, "new"))
			return flags("--cache", cache)
		}, "cache"},
		{"everybody can write to the cache", func(p *trap) harness.MountOptions { return flags("--cache", p.dir("cache", everybody)) }, "others can write"},
		{"cache is somebody's", func(p *trap) harness.MountOptions {
			return flags("--cache", p.somebodys(p.dir("cache", 0o700)))
		}, "belongs to"},
		{"staging is a link", func(p *trap) harness.MountOptions { return flags("--stage-dir", p.link("stage", p.victim)) }, "a link"},
		{"staging is a link to nowhere", func(p *trap) harness.MountOptions {
			return flags("--stage-dir", p.link("stage", filepath.Join(p.victim, "new")))
		}, "stage"},
		{"staging is somebody's", func(p *trap) harness.MountOptions {
			return flags("--stage-dir", p.somebodys(p.dir("stage", 0o700)))
		}, "belongs to"},
		{"everybody can exchange staging", func(p *trap) harness.MountOptions {
			return flags("--stage-dir", filepath.Join(p.dir("open", everybody), "stage"))
		}, "everybody can write to"},
		{"everybody can exchange what staging is in", func(p *trap) harness.MountOptions {
			p.dir("open", everybody)
			return flags("--stage-dir", filepath.Join(p.dir("open/private", 0o700), "stage"))
		}, "everybody can write to"},
		{"staging is behind somebody's link", func(p *trap) harness.MountOptions {
			p.dir("tmp", everybody|os.ModeSticky)
			return flags("--stage-dir", filepath.Join(p.somebodys(p.link("tmp/mine", p.victim)), "stage"))
		}, "belongs to"},
		{"staging is in somebody's directory", func(p *trap) harness.MountOptions {
			p.dir("tmp", everybody|os.ModeSticky)
			return flags("--stage-dir", filepath.Join(p.somebodys(p.dir("tmp/mine", everybody)), "stage"))
		}, "belongs to"},
		{"recovery is a link", func(p *trap) harness.MountOptions {
			p.link("state/cgs3fs/recovery", p.victim)
			return state(p.path("state"))
		}, "recovery"},
		{"notes of uploads are a link", func(p *trap) harness.MountOptions {
			p.link("state/cgs3fs/uploads", p.victim)
			return state(p.path("state"))
		}, "uploads"},
		{"recovery is behind somebody's link", func(p *trap) harness.MountOptions {
			tmp := p.dir("tmp", everybody|os.ModeSticky)
			p.somebodys(p.link("tmp/cgs3fs", p.victim))
			return state(tmp)
		}, "belongs to"},
		{"everybody can exchange the state", func(p *trap) harness.MountOptions { return state(p.dir("open", everybody)) }, "everybody can write to"},
		{"log is somebody's link", func(p *trap) harness.MountOptions {
			p.dir("tmp", everybody|os.ModeSticky)
			return flags("--log-file", p.somebodys(p.link("tmp/log", filepath.Join(p.victim, "new"))))
		}, "belongs to"},
	} {
		t.Run(row.what, func(t *testing.T) {
			p := newTrap(t)
			o := row.plant(p)
			m := s.Prepare(t, bucket, o)
			r := m.Run(t.Context(), append(append([]string{"mount"}, o.Flags...), "s3://"+bucket, m.Dir)...)
			if r.Status == 0 || !complaint.MatchString(r.Stderr) || !strings.Contains(r.Stderr, row.says) {
				t.Errorf("exit status %d, want a refusal in one line that says %q:\n%s", r.Status, row.says, r.Stderr)
			}
			if left, err := os.ReadDir(p.victim); err != nil || len(left) > 0 {
				t.Errorf("written outside: %v, %v", left, err)
			}
		})
	}
}

// Two mounts never share a cache directory: the second says who has it.
func TestCacheOfAnotherMountIsRefused(t *testing.T) {
	s := harness.NewServer(t)
	bucket := s.Bucket(t).Bucket
	cache := filepath.Join(t.TempDir(), "cache")
	first := s.Mount(t, bucket, "--cache", cache)
	second := s.Prepare(t, bucket, harness.MountOptions{})
	r := second.Run(t.Context(), "mount", "--cache", cache, "s3://"+bucket, second.Dir)
	if r.Status == 0 || !complaint.MatchString(r.Stderr) || !strings.Contains(r.Stderr, strconv.Itoa(first.PID())) {
		t.Errorf("exit status %d, want a refusal in one line that names process %d:\n%s", r.Status, first.PID(), r.Stderr)
	}
}

// Links planted inside the mount's own directories, as by a user whose rights
// were too wide for a while, are neither followed nor are what they lead to
// removed: the mount works, and what is outside stays as it was.
func TestPlantedLinksAreNotFollowed(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	client.Put(t, "file", harness.Noise(1, 300_000))
	p := newTrap(t)
	outside := filepath.Join(p.victim, "file")
	p.must(os.WriteFile(outside, []byte("keep me"), 0o600))
	cache, stage := p.path("cache"), p.path("stage")
	m := s.MountWith(t, client.Bucket, harness.MountOptions{
		Flags: []string{"--cache", cache, "--stage-dir", stage},
		Env:   []string{"XDG_STATE_HOME=" + p.path("state")}, Unsaved: true,
	})
	readRandomly(t, m.Path("file"))
	m.Unmount(t)

	planted := 0
	p.must(filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "lock" {
			return err
		}
		planted++
		return errors.Join(os.Remove(path), os.Symlink(outside, path))
	}))
	if planted == 0 {
		t.Fatal("the cache held no block: nothing was planted")
	}
	p.link("stage/mount-dead", p.victim)
	p.dir("stage/mount-inside", 0o700)
	p.link("stage/mount-inside/draft", p.victim)
	p.link("state/cgs3fs/uploads/upload-1.json", outside)
	p.link("state/cgs3fs/recovery/old.data", outside)

	m.Start(t)
	readRandomly(t, m.Path("file"))
	s.Proxy.Harm(always{next: s.Proxy.Upstream(), match: method("PUT", "POST"), status: 403, code: "AccessDenied"})
	if err := os.WriteFile(m.Path("unsaved"), harness.Noise(2, 100_000), 0o644); err == nil {
		t.Error("close said success")
	}
	s.Proxy.Harm(nil)
	if r := m.Run(t.Context(), "umount", "--force", m.Dir); harness.Mounted(m.Dir) {
		t.Fatalf("umount --force: %s", r.Stderr)
	}
	m.Wait(t)
	left, err := os.ReadDir(p.victim)
	if got, _ := os.ReadFile(outside); err != nil || len(left) != 1 || string(got) != "keep me" {
		t.Errorf("outside are now %v (%v), and the file holds %q", left, err, got)
	}
}

// readRandomly reads a file from its end on, in pieces: such reads go through
// the disk cache.
func readRandomly(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, buf := harness.Noise(1, 300_000), make([]byte, 4096)
	for off := int64(len(want) - len(buf)); off >= 0; off -= 50_000 {
		if _, err := f.ReadAt(buf, off); err != nil || string(buf) != string(want[off:off+4096]) {
			t.Fatalf("reading at %d: other bytes, or %v", off, err)
		}
	}
}
