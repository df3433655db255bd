package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/fs"
)

// liveMount is a mount of another process of this program.
type liveMount struct{ dir string }

// status is an fs.Status as another process sees it.
type status struct {
	fs.Status
	Transfer json.RawMessage
	Names    json.RawMessage
	More     mountReport
}

// mountAt finds the mount on a directory, or above it.
func mountAt(arg string) (liveMount, error) {
	dir, err := mountpointPath(arg)
	if err != nil {
		return liveMount{}, err
	}
	if isDead(dir) {
		return liveMount{}, died(arg)
	}
	mounts, err := mountsAt(dir)
	if err != nil {
		return liveMount{}, err
	}
	if n := len(mounts); n == 0 || mounts[n-1].kind != fuseType {
		return liveMount{}, fail(exitNotFound, "no bucket is mounted at %s", arg).try("cgs3fs status lists the mounts")
	}
	return liveMount{dir}, nil
}

var errDied = errors.New("has died")

func died(dir string) error {
	return fail(exitFailed, "the program behind %s %w", dir, errDied).try("cgs3fs mount heals it, cgs3fs umount %s clears it", shellWord(dir))
}

// statusWait is how long a mount may take to tell its status, which it does from
// memory: one that takes longer is stopped, or stuck.
const statusWait = 5 * time.Second

// status asks the mount how it is.
func (m liveMount) status() (status, error) {
	s, err := within(statusWait, m.askStatus)
	if errors.Is(err, context.DeadlineExceeded) {
		return s, fail(exitFailed, "the mount at %s does not answer", m.dir).try("is its program stopped? umount -l %s detaches it", shellWord(m.dir))
	}
	return s, err
}

func (m liveMount) askStatus() (status, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Getxattr(m.dir, fs.StatusXattr, buf)
	if saysDead(err) { // since it was found
		return status{}, died(m.dir)
	}
	if err != nil {
		return status{}, fmt.Errorf("asking the mount at %s: %w", m.dir, err)
	}
	var s status
	if err := json.Unmarshal(buf[:n], &s); err != nil {
		return status{}, m.strange(err)
	}
	return s, nil
}

// strange is what a mount of another version said.
func (m liveMount) strange(err error) error {
	return fmt.Errorf("the mount at %s answers what this version does not understand: %w", m.dir, err)
}

// sync returns when everything is in the bucket.
func (m liveMount) sync() error { return m.do(fs.SyncXattr) }

// reload makes the mount ask the source of its credentials again.
func (m liveMount) reload() error { return m.do(fs.ReloadXattr) }

func (m liveMount) do(attr string) error {
	_, err := unix.Getxattr(m.dir, attr, make([]byte, 64))
	return err
}

// liveMounts are all mounts of this program that this user may see.
func liveMounts() ([]liveMount, error) {
	all, err := mountsAt("")
	if err != nil {
		return nil, err
	}
	var out []liveMount
	for _, m := range all {
		if m.kind == fuseType {
			out = append(out, liveMount{m.dir})
		}
	}
	return out, nil
}
