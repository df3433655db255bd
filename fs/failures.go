package fs

import (
	"sync"
	"syscall"
	"time"
)

// Failure is an error that a program saw.
type Failure struct {
	Time  time.Time
	Op    string // the system call
	Path  string // below the mount
	Errno string
	Cause string
	Times int // so often within a few seconds
}

// failures are the last errors that programs saw, for Status.
type failures struct {
	mu   sync.Mutex
	last []Failure // guarded by mu; the newest at the end
}

const (
	keptFailures = 20
	sameFailure  = 10 * time.Second // a failure like the last one is not news for so long
)

// add keeps a failure and reports whether it is news.
func (f *failures) add(op, path string, errno syscall.Errno, cause error, now time.Time) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.last {
		if l := &f.last[i]; l.Op == op && l.Path == path && l.Errno == errno.Error() && now.Sub(l.Time) < sameFailure {
			l.Times++
			return false
		}
	}
	f.last = append(f.last, Failure{Time: now, Op: op, Path: path, Errno: errno.Error(), Cause: cause.Error(), Times: 1})
	if len(f.last) > keptFailures {
		f.last = f.last[1:]
	}
	return true
}

func (f *failures) list() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Failure(nil), f.last...)
}
