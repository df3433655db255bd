package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// layout says where things are, below one prefix of the destination bucket.
type layout struct {
	prefix string // ends in "/", or is empty
}

func newLayout(prefix string) layout {
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return layout{prefix: prefix}
}

// control is the prefix of all control files. Nothing under it is data.
func (l layout) control() string { return l.prefix + ".cgs3fs/" }

// lock is the lease of whoever removes snapshots.
func (l layout) lock() string { return l.control() + "lock" }

// clock is an object written only to learn the server's time.
func (l layout) clock() string { return l.control() + "clock" }

// restores holds the notes of uploads that restores have under way.
func (l layout) restores() string { return l.control() + "restore/" }

func (l layout) dir(id ID) string      { return l.control() + string(id) + "/" }
func (l layout) claim(id ID) string    { return l.dir(id) + "claim.json" }
func (l layout) manifest(id ID) string { return l.dir(id) + "manifest.json" }
func (l layout) plans(id ID) string    { return l.dir(id) + "plan/" }
func (l layout) segments(id ID) string { return l.dir(id) + "seg/" }

// brings holds the plans of who copies into a snapshot that exists already.
func (l layout) brings(id ID) string { return l.dir(id) + "bring/" }

// numbered is the name of a plan or segment below plans or segments. Eight
// digits keep a listing in order.
func numbered(n int) string { return fmt.Sprintf("%08d.ndjson.gz", n) }

// objects is the dated prefix that holds a snapshot's objects.
func (l layout) objects(id ID) string { return l.prefix + id.path() }

// object is where a snapshot keeps its copy of key. A dated key beyond what S3
// allows goes to a control file named by a hash, and Entry.Long says so.
func (l layout) object(id ID, key string) (place string, long bool) {
	place = l.objects(id) + key
	if len(place) <= s3.MaxKeyLength {
		return place, false
	}
	sum := sha256.Sum256([]byte(key))
	return l.dir(id) + "long/" + hex.EncodeToString(sum[:]), true
}

// place is where an entry's bytes are: in its own snapshot, or in its owner's.
func (l layout) place(id ID, e Entry) string {
	if e.Owner != "" {
		id = e.Owner
	}
	place, _ := l.object(id, e.Key)
	return place
}
