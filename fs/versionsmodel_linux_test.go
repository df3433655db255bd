package fs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// attributed is what the model knows of a file: what stands in its metadata.
type attributed struct {
	colour string // an extended attribute that the mount sets
	shape  string // user metadata that somebody else has set
	mode   uint32
}

// attributeModel is a mount that reads metadata back, and what each file must have.
type attributeModel struct {
	*versioned
	r      *rand.Rand
	files  map[string]attributed
	opened []*simFile // for reading
	alone  bool       // nobody else writes, so that names may be remembered
	serial int
	steps  []string
}

var attributePaths = []string{"a", "b", "d/a", "d/b", "f/a", "f/b"}

func (m *attributeModel) unique() string {
	m.serial++
	return fmt.Sprint("v", m.serial)
}

// pick is one of the files there are, "" if there is none.
func (m *attributeModel) pick() string {
	for range 20 {
		path := attributePaths[m.r.IntN(len(attributePaths))]
		if _, ok := m.files[path]; ok {
			return path
		}
	}
	return ""
}

func (m *attributeModel) set(path string) {
	m.Helper()
	f := m.files[path]
	if m.r.IntN(2) == 0 {
		f.colour = m.unique()
		m.setxattr(path, "user.colour", f.colour)
	} else {
		f.mode = 0o400 + uint32(m.r.IntN(0o100))
		m.chmod(path, f.mode)
	}
	m.files[path] = f
}

func (m *attributeModel) step() {
	m.Helper()
	path := m.pick()
	do := m.r.IntN(14)
	m.steps = append(m.steps, fmt.Sprintf("%d %s", do, path))
	if m.alone && do == 0 || path == "" {
		do = 7
	}
	switch {
	case do == 0: // somebody else
		path = attributePaths[m.r.IntN(len(attributePaths))]
		f := attributed{shape: m.unique(), mode: 0o644}
		m.put(path, strings.Repeat(f.shape, 1+m.r.IntN(100)), map[string]string{"shape": f.shape})
		m.files[path] = f
		m.steps[len(m.steps)-1] = "put " + path
	case do <= 3:
		m.set(path)
	case do <= 5: // an edit, with changes on the way
		f := m.open(path, syscall.O_RDWR)
		if m.r.IntN(2) == 0 {
			m.set(path)
		}
		m.ok(f.write(m.unique(), m.r.IntN(20)))
		if m.r.IntN(2) == 0 {
			m.set(path)
		}
		if m.r.IntN(2) == 0 {
			m.ok(f.fsync())
			m.set(path)
		}
		m.ok(f.close())
	case do == 6: // a whole new content
		f := m.open(path, syscall.O_WRONLY|syscall.O_TRUNC)
		m.ok(f.write(strings.Repeat(m.unique(), 1+m.r.IntN(100)), 0))
		if m.r.IntN(2) == 0 {
			m.set(path)
		}
		m.ok(f.close())
	case do == 7: // a new file, which may be read back
		path = attributePaths[m.r.IntN(len(attributePaths))]
		if _, there := m.files[path]; there {
			return
		}
		f := m.open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL)
		m.files[path] = attributed{mode: 0o644}
		for i := range m.r.IntN(40) {
			m.ok(f.write(strings.Repeat("x", simPart), i*simPart))
		}
		if m.r.IntN(2) == 0 {
			m.set(path)
		}
		for i := range m.r.IntN(40) {
			_, errno := f.read(i*simPart, 10)
			m.ok(errno)
		}
		if m.r.IntN(2) == 0 {
			m.set(path)
		}
		m.ok(f.close())
	case do == 8:
		to := attributePaths[m.r.IntN(len(attributePaths))]
		if to == path {
			return
		}
		m.steps[len(m.steps)-1] += " to " + to
		_, _, errno := m.k.rename(path, to)
		m.ok(errno)
		m.files[to] = m.files[path]
		delete(m.files, path)
	case do == 9:
		from, to := "d", "f"
		if m.r.IntN(2) == 0 {
			from, to = to, from
		}
		if m.files[to+"/a"].mode != 0 || m.files[to+"/b"].mode != 0 {
			return
		}
		m.steps[len(m.steps)-1] = "rename " + from
		_, _, errno := m.k.rename(from, to)
		m.ok(errno)
		m.ok(m.k.mkdir(from))
		for _, name := range []string{"/a", "/b"} {
			if f, ok := m.files[from+name]; ok {
				m.files[to+name] = f
				delete(m.files, from+name)
			}
		}
	case do == 10:
		m.opened = append(m.opened, m.open(path, syscall.O_RDONLY))
	case do == 11 && len(m.opened) > 0:
		m.ok(m.opened[0].close())
		m.opened = m.opened[1:]
	case do == 12:
		m.k.dropCaches()
	case do == 13:
		m.written()
		m.inBucket()
	}
}

// inBucket checks the objects.
func (m *attributeModel) inBucket() {
	m.Helper()
	for path, f := range m.files {
		mode := ""
		if f.mode != 0o644 {
			mode = fmt.Sprint(syscall.S_IFREG | f.mode)
		}
		info, err := m.mem.Head(m.Context(), path)
		if err != nil {
			m.Errorf("%s: %v", path, err)
			continue
		}
		got := info.Metadata
		if got["colour"] != f.colour || got["shape"] != f.shape || got["mode"] != mode && !(mode == "" && got["mode"] == "33188") {
			m.Errorf("%s has %q in the bucket, want %+v", path, got, f)
		}
	}
}

// shown checks what programs see.
func (m *attributeModel) shown() {
	m.Helper()
	for path, f := range m.files {
		m.shows(path, f.mode)
		n, errno := m.k.find(path, false)
		m.ok(errno)
		buf := make([]byte, 100)
		h := header(n)
		size, st := m.fs.GetXAttr(nil, &h, "user.colour", buf)
		m.k.put(n)
		if st == fuse.ENOATTR {
			size = 0
		} else if !st.Ok() {
			m.Errorf("%s: getxattr: %v", path, st)
		}
		if got := string(buf[:size]); got != f.colour {
			m.Errorf("%s is shown with colour %q, want %q", path, got, f.colour)
		}
	}
}

// TestAttributesBelongToOneVersion runs random changes of contents and attributes,
// renames, and writes of somebody else, and compares what is shown and what is in
// the bucket with a model. In half of the histories answers get lost, which the
// retries have to make good.
func TestAttributesBelongToOneVersion(t *testing.T) {
	histories := *simHistories
	if testing.Short() {
		histories /= 10
	}
	for seed := range histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			alone, ttl := seed%3 == 0, time.Nanosecond
			if alone {
				ttl = time.Minute
			}
			m := &attributeModel{
				versioned: newVersionedOf(t, Config{TTL: ttl, NegativeTTL: ttl, Posix: true}, seed%2 == 0),
				alone:     alone,
				r:         rand.New(rand.NewPCG(uint64(seed), 2)), files: map[string]attributed{},
			}
			m.ok(m.k.mkdir("d"))
			m.ok(m.k.mkdir("f"))
			for range 60 {
				if seed%4 >= 2 {
					m.faulty.SetPlan(s3test.Plan{Seed: m.r.Uint64(), Rules: []s3test.Rule{
						{P: 0.1, Fault: s3test.Fault{Do: s3test.Drop}},
						{P: 0.1, Fault: s3test.Fault{Do: s3test.Fail}},
					}})
				}
				m.step()
				m.faulty.SetPlan(s3test.Plan{})
				m.shown()
				if t.Failed() {
					t.Fatal(strings.Join(m.steps, "; "))
				}
			}
			for _, f := range m.opened {
				m.ok(f.close())
			}
			m.written()
			m.inBucket()
		})
	}
}
