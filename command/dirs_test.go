package command

import (
	"os"
	"path/filepath"
	"testing"
)

// What a mount at boot could not save must be found by root at a terminal, and
// only the latter has HOME.
func TestRootHasOnePlaceWhateverHomeIs(t *testing.T) {
	home := t.TempDir()
	state, cached := filepath.Join(home, ".local/state/cgs3fs"), filepath.Join(home, ".cache/cgs3fs")
	if os.Geteuid() == 0 {
		state, cached = "/var/lib/cgs3fs", "/var/cache/cgs3fs"
	}
	for _, row := range []struct{ home, xdg, state, cache string }{
		{home, "", state, cached},
		{home, "/elsewhere", "/elsewhere/cgs3fs", "/elsewhere/cgs3fs"},
		{"", "/elsewhere", "/elsewhere/cgs3fs", "/elsewhere/cgs3fs"},
	} {
		t.Setenv("HOME", row.home)
		t.Setenv("XDG_STATE_HOME", row.xdg)
		t.Setenv("XDG_CACHE_HOME", row.xdg)
		if got, err := stateDir(); got != row.state || err != nil {
			t.Errorf("HOME %q, XDG_STATE_HOME %q: state in %q (%v), want %q", row.home, row.xdg, got, err, row.state)
		}
		if got, err := cacheDir(); got != row.cache || err != nil {
			t.Errorf("HOME %q, XDG_CACHE_HOME %q: cache in %q (%v), want %q", row.home, row.xdg, got, err, row.cache)
		}
	}
}
