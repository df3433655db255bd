package snapshot

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Entry is one object of a snapshot: which version of the source it is, and
// where its copy is.
type Entry struct {
	Key          string
	Size         int64     // bytes
	ETag         string    // of the version in the source
	CopyETag     string    // of the copy, where it differs from ETag; see Entry.copyETag
	Modified     time.Time // of the version in the source, to the millisecond
	Checksum     string    // as s3.Info.Checksum, of the copy, where the server told one
	StorageClass string    // of the source; empty is STANDARD
	Owner        ID        // the snapshot that holds the copy; empty is this one
	Again        bool      // only in plans: what lies at the place may be another version
}

// copyETag is the ETag that the copy must have.
func (e Entry) copyETag() string {
	if e.CopyETag != "" {
		return e.CopyETag
	}
	return e.ETag
}

// sameVersion says whether two entries stand for the same version of one key:
// then nobody can have changed the object in between.
func (e Entry) sameVersion(f Entry) bool {
	return e.Key == f.Key && e.Size == f.Size && e.ETag == f.ETag && e.Modified.Equal(f.Modified)
}

// wireEntry is an entry as a line of a segment has it. The names are short
// because there are millions; "zcat | jq" reads them.
type wireEntry struct {
	K  string `json:"k,omitempty"`
	KB []byte `json:"kb,omitempty"` // the key where it is not UTF-8; base64 in JSON
	S  int64  `json:"s"`
	E  string `json:"e"`
	D  string `json:"d,omitempty"`
	M  int64  `json:"m"` // milliseconds since 1970
	C  string `json:"c,omitempty"`
	T  string `json:"t,omitempty"`
	L  ID     `json:"l,omitempty"`
	X  bool   `json:"again,omitempty"`
}

// MarshalJSON writes the line of a segment.
func (e Entry) MarshalJSON() ([]byte, error) {
	w := wireEntry{S: e.Size, E: e.ETag, D: e.CopyETag, M: e.Modified.UnixMilli(), C: e.Checksum, T: e.StorageClass, L: e.Owner, X: e.Again}
	if utf8.ValidString(e.Key) {
		w.K = e.Key
	} else {
		w.KB = []byte(e.Key)
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the line of a segment.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var w wireEntry
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*e = Entry{
		Key: w.K, Size: w.S, ETag: w.E, CopyETag: w.D, Modified: time.UnixMilli(w.M).UTC(),
		Checksum: w.C, StorageClass: w.T, Owner: w.L, Again: w.X,
	}
	if w.K == "" {
		e.Key = string(w.KB)
	}
	if e.Key == "" || e.Size < 0 {
		return fmt.Errorf("entry %.100q makes no sense", data)
	}
	return nil
}

// anyKey is a key within JSON: a string, or {"b64": …} where it is not UTF-8,
// which JSON cannot say.
type anyKey string

type wireKey struct {
	B64 []byte `json:"b64"`
}

func (k anyKey) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(k)) {
		return json.Marshal(string(k))
	}
	return json.Marshal(wireKey{[]byte(k)})
}

func (k *anyKey) UnmarshalJSON(data []byte) error {
	var w wireKey
	if len(data) > 0 && data[0] == '{' {
		err := json.Unmarshal(data, &w)
		*k = anyKey(w.B64)
		return err
	}
	return json.Unmarshal(data, (*string)(k))
}
