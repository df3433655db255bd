package transfer

import (
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine returns an engine that must be left without a buffer or a staged
// byte in use when the test ends.
func newEngine(t testing.TB, b s3.Bucket, cfg Config) *Engine {
	t.Helper()
	if cfg.StageDir == "" {
		cfg.StageDir = t.TempDir()
	}
	e, err := New(b, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s := e.Stats()
		if s.MemoryPeak > s.MemoryLimit {
			t.Errorf("%d bytes of memory were in use, the limit is %d", s.MemoryPeak, s.MemoryLimit)
		}
		if s.Staged != 0 {
			t.Errorf("%d bytes are left on disk", s.Staged)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// noise returns n bytes that differ everywhere.
func noise(n int, seed uint64) []byte {
	p := make([]byte, n)
	src := rand.NewPCG(seed, 1)
	for i := 0; i < n; i += 8 {
		v := src.Uint64()
		for j := i; j < min(i+8, n); j++ {
			p[j] = byte(v)
			v >>= 8
		}
	}
	return p
}

// bucket returns a bucket that counts and spoils calls, and the one behind it.
// Its ETags are MD5s: the draft knows its own content by them.
func bucket() (*s3test.Faulty, *s3test.Mem) {
	mem := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	return s3test.NewFaulty(mem, s3test.Plan{}), mem
}
