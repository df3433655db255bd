package mount

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// seedFor is the seed of a random test: CGS3FS_SEED, to repeat a run, or a new
// one, which is printed.
func seedFor(t testing.TB) uint64 {
	t.Helper()
	if text := os.Getenv("CGS3FS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CGS3FS_SEED: %v", err)
		}
		return seed
	}
	seed := rand.Uint64()
	t.Logf("to repeat this: CGS3FS_SEED=%d", seed)
	return seed
}

// soakDeadline is the time until which a random test goes on beyond its usual
// length; the past unless CGS3FS_SOAK asks for a soak.
func soakDeadline(t testing.TB) time.Time {
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
