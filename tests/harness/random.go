package harness

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed is the seed of a random test: CGS3FS_SEED, to repeat a run; in a soak a new
// one, which is printed; otherwise always the same, so that a run says something about
// what has changed.
func Seed(t testing.TB) uint64 {
	t.Helper()
	if text := os.Getenv("CGS3FS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CGS3FS_SEED: %v", err)
		}
		return seed
	}
	if os.Getenv("CGS3FS_SOAK") == "" {
		return 1
	}
	seed := rand.Uint64()
	t.Logf("to repeat this: CGS3FS_SEED=%d", seed)
	return seed
}

// SoakDeadline is the time until which a random test goes on beyond its usual
// length; the past unless CGS3FS_SOAK asks for a soak, such as 1h.
func SoakDeadline(t testing.TB) time.Time {
	t.Helper()
	text := os.Getenv("CGS3FS_SOAK")
	if text == "" {
		return time.Time{}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CGS3FS_SOAK: %v", err)
	}
	return time.Now().Add(d)
}

// Noise is n bytes that neither compression nor a sparse file helps with,
// the same for the same seed.
func Noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	data := make([]byte, n)
	io.ReadFull(rand.NewChaCha8(key), data)
	return data
}
