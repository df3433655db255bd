package fs

import "testing"

// Metadata can be written by any program: what is read of it is never more than
// permission bits, and survives being written back.
func FuzzPosix(f *testing.F) {
	f.Fuzz(func(t *testing.T, mtime, mode, uid, gid string) {
		p := parsePosix(map[string]string{metaMtime: mtime, metaMode: mode, metaUID: uid, metaGID: gid})
		if p.mode&^0o7777 != 0 {
			t.Fatalf("mode %q is read as %o", mode, p.mode)
		}
		meta := map[string]string{}
		p.write(meta, kindFile)
		again := parsePosix(meta)
		if !again.mtime.Equal(p.mtime) {
			t.Fatalf("mtime %q is %v, and %v once it is written back", mtime, p.mtime, again.mtime)
		}
		again.mtime = p.mtime
		if again != p {
			t.Fatalf("%+v is %+v once it is written back", p, again)
		}
	})
}
