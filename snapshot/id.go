package snapshot

import (
	"fmt"
	"strings"
	"time"
)

// ID names a snapshot by its day, "2026-11-23", or for a later one of the same
// day by its second, "2026-11-23T141502Z". IDs order as their times do.
type ID string

const (
	dayForm    = "2006-01-02"
	secondForm = "2006-01-02T150405Z"
)

// dayID is the ID of the first snapshot of t's day.
func dayID(t time.Time) ID { return ID(t.UTC().Format(dayForm)) }

// secondID is the ID of a later snapshot of the same day.
func secondID(t time.Time) ID { return ID(t.UTC().Format(secondForm)) }

// ParseID checks that s is a whole ID, as in the names of control files.
func ParseID(s string) (ID, error) {
	for _, form := range []string{dayForm, secondForm} {
		if t, err := time.Parse(form, s); err == nil && t.Format(form) == s {
			return ID(s), nil
		}
	}
	return "", fmt.Errorf("%q is no snapshot, which look like 2026-11-23 or 2026-11-23T141502Z", s)
}

// day is the calendar day of the snapshot, as in its ID.
func (id ID) day() ID { return id[:min(len(id), len(dayForm))] }

// time is when the snapshot was begun, as far as its ID tells.
func (id ID) time() time.Time {
	for _, form := range []string{dayForm, secondForm} {
		if t, err := time.Parse(form, string(id)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// path is where the objects are, below the prefix of all snapshots:
// "2026/11/23/" or "2026/11/23T141502Z/".
func (id ID) path() string {
	return strings.Replace(string(id[:len(dayForm)]), "-", "/", 2) + string(id[len(dayForm):]) + "/"
}

// idOfPath is the opposite of path; the slash at the end may be missing.
func idOfPath(path string) (ID, error) {
	path = strings.TrimSuffix(path, "/")
	if strings.Count(path, "/") != 2 {
		return "", fmt.Errorf("%q is no dated prefix such as 2026/11/23/", path)
	}
	return ParseID(strings.ReplaceAll(path, "/", "-"))
}

// Resolve finds the one snapshot in ids, oldest first, that name means: an ID,
// "latest", "yesterday" (of now, in UTC), or the beginning of only one ID. A
// whole day that has several snapshots means its first. No match or more than
// one is ErrNoSnapshot.
func Resolve(name string, ids []ID, now time.Time) (ID, error) {
	if len(ids) == 0 {
		return "", fmt.Errorf("%w: there are none yet", ErrNoSnapshot)
	}
	switch name {
	case "latest":
		return ids[len(ids)-1], nil
	case "yesterday":
		name = string(dayID(now.AddDate(0, 0, -1)))
	}
	var found []ID
	for _, id := range ids {
		if string(id) == name {
			return id, nil
		}
		if name != "" && strings.HasPrefix(string(id), name) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w %q", ErrNoSnapshot, name)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: %q may be %s or %s", ErrNoSnapshot, name, found[0], found[1])
}
