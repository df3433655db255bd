package mount

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestTreesThroughTwoMounts does random operations on whole trees, each through
// one of two mounts of one bucket, and the same on the local disk, which is the
// model: every result, errno included, and every tree must be equal, through
// both mounts and after a remount.
func TestTreesThroughTwoMounts(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	client := s.Bucket(t)
	// Names and sizes may be as old as the time to live; without it, both mounts
	// must agree at every moment.
	mounts := []*harness.Mount{
		s.Mount(t, client.Bucket, "--metadata-ttl", "0"),
		s.Mount(t, client.Bucket, "--metadata-ttl", "0"),
	}
	randomTrees(t, mounts, func(rt *rapid.T) {
		rapid.SampledFrom(mounts).Draw(rt, "mount").Remount(t)
	})
}

// The same through one mount whose server fails one request in twenty, in ways
// that pass: no program notices.
func TestTreesOnAFlakyServer(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket)
	flaky := harness.NewFlaky(s.Proxy.Upstream(), 0.05, harness.Seed(t))
	s.Proxy.Harm(flaky)
	defer s.Proxy.Harm(nil)
	randomTrees(t, []*harness.Mount{m}, func(rt *rapid.T) {
		s.Proxy.Harm(nil) // a mount may be refused when the server can't be reached
		m.Remount(t)
		s.Proxy.Harm(flaky)
	})
}

// randomTrees checks random operations, always the same ones; a soak draws new
// ones until its time is up.
func randomTrees(t *testing.T, mounts []*harness.Mount, remount func(*rapid.T)) {
	deadline := harness.SoakDeadline(t)
	if seed := flag.Lookup("rapid.seed"); deadline.IsZero() && seed.Value.String() == seed.DefValue {
		if err := seed.Value.Set("1"); err != nil {
			t.Fatal(err)
		}
	}
	run := 0
	for first := true; first || time.Now().Before(deadline); first = false {
		rapid.Check(t, func(rt *rapid.T) {
			run++
			randomTree(rt, mounts, fmt.Sprintf("run%d", run), remount)
		})
	}
}

func randomTree(rt *rapid.T, mounts []*harness.Mount, name string, remount func(*rapid.T)) {
	local, err := os.MkdirTemp("", "cgs3fs-model-")
	if err != nil {
		rt.Fatal(err)
	}
	defer os.RemoveAll(local)
	if err := os.Mkdir(mounts[0].Path(name), 0o755); err != nil {
		rt.Fatal(err)
	}
	trees := twoTrees{local: local, mounts: mounts, name: name}
	rt.Repeat(map[string]func(*rapid.T){
		"write":   trees.write,
		"append":  trees.append,
		"resize":  trees.resize,
		"mkdir":   trees.mkdir,
		"remove":  trees.remove,
		"rename":  trees.rename,
		"symlink": trees.symlink,
		"compare": trees.compare,
		"remount": func(rt *rapid.T) {
			if rapid.IntRange(0, 19).Draw(rt, "really") != 0 { // it takes longer than a hundred of the others
				rt.Skip("not now")
			}
			remount(rt)
		},
	})
	trees.compare(rt)
}

// twoTrees is a tree below name in two mounts and its model on the local disk.
type twoTrees struct {
	local  string
	mounts []*harness.Mount
	name   string
}

// both does an operation on the model and through one of the mounts.
func (w twoTrees) both(rt *rapid.T, do func(root string) error) {
	m := rapid.SampledFrom(w.mounts).Draw(rt, "mount")
	want := errno(do(w.local))
	got := errno(do(m.Path(w.name)))
	if got != want {
		rt.Fatalf("got %v, want %v", got, want)
	}
}

// errno is the kernel's answer in an error: paths differ between the trees.
func errno(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

func (w twoTrees) write(rt *rapid.T) {
	path, data := anyPath.Draw(rt, "path"), anyContent.Draw(rt, "content")
	w.both(rt, func(root string) error { return os.WriteFile(filepath.Join(root, path), data, 0o644) })
}

func (w twoTrees) append(rt *rapid.T) {
	path, data := anyPath.Draw(rt, "path"), anyContent.Draw(rt, "content")
	w.both(rt, func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, path), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	})
}

func (w twoTrees) resize(rt *rapid.T) {
	path, size := anyPath.Draw(rt, "path"), rapid.Int64Range(0, 10_000).Draw(rt, "size")
	w.both(rt, func(root string) error { return os.Truncate(filepath.Join(root, path), size) })
}

func (w twoTrees) mkdir(rt *rapid.T) {
	path := anyPath.Draw(rt, "path")
	w.both(rt, func(root string) error { return os.Mkdir(filepath.Join(root, path), 0o755) })
}

func (w twoTrees) remove(rt *rapid.T) {
	path, all := anyPath.Draw(rt, "path"), rapid.IntRange(0, 5).Draw(rt, "all") == 0
	w.both(rt, func(root string) error {
		if all {
			return os.RemoveAll(filepath.Join(root, path))
		}
		if err := syscall.Unlink(filepath.Join(root, path)); err != syscall.EISDIR {
			return err
		}
		return syscall.Rmdir(filepath.Join(root, path))
	})
}

func (w twoTrees) rename(rt *rapid.T) {
	from, to := anyPath.Draw(rt, "from"), anyPath.Draw(rt, "to")
	// ext4 says EEXIST where others say ENOTEMPTY; POSIX allows both.
	w.both(rt, func(root string) error {
		err := syscall.Rename(filepath.Join(root, from), filepath.Join(root, to))
		if errors.Is(err, syscall.EEXIST) {
			return syscall.ENOTEMPTY
		}
		return err
	})
}

func (w twoTrees) symlink(rt *rapid.T) {
	path, target := anyPath.Draw(rt, "path"), anyPath.Draw(rt, "target")
	w.both(rt, func(root string) error { return os.Symlink(target, filepath.Join(root, path)) })
}

// compare compares all mounts with the model.
func (w twoTrees) compare(rt *rapid.T) {
	want := walk(rt, w.local)
	for i, m := range w.mounts {
		if diff := cmp.Diff(want, walk(rt, m.Path(w.name))); diff != "" {
			rt.Fatalf("the tree in mount %d (-want +got):\n%s", i, diff)
		}
	}
}

// walk describes a tree: one line for each thing in it.
func walk(rt *rapid.T, root string) []string {
	lines := []string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		switch {
		case d.IsDir():
			lines = append(lines, name+"/")
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			lines = append(lines, name+" -> "+target)
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%s %d %x", name, info.Size(), data))
		}
		return nil
	})
	if err != nil {
		rt.Fatalf("walking %s: %v", root, err)
	}
	slices.Sort(lines)
	return lines
}

// anyPath is a path of a few names, so that operations meet.
var anyPath = rapid.Custom(func(rt *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c d"}), 1, 3).Draw(rt, "names"), "/")
})

var anyContent = rapid.SliceOfN(rapid.Byte(), 0, 20)
