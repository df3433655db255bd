package snapshot

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// How often a lease is renewed, and when one that is not counts as dead. A
// holder that could not renew stops acting well before others may take over.
const (
	leaseBeat  = 2 * time.Minute
	leaseGrace = 8 * time.Minute
	leaseDead  = 10 * time.Minute
)

// claim is the content of a lease file.
type claim struct {
	Run     string    `json:"run"` // random; whose lease it is
	Host    string    `json:"host,omitempty"`
	PID     int       `json:"pid,omitempty"`
	What    string    `json:"what"`              // for people
	Source  string    `json:"source,omitempty"`  // the bucket that a snapshot is of
	Options string    `json:"options,omitempty"` // a digest: a run resumes only what had the same
	Full    bool      `json:"full,omitempty"`    // although an incremental one was asked for
	Started time.Time `json:"started"`
	Beat    int       `json:"beat"`            // makes each renewal differ
	Adopt   bool      `json:"adopt,omitempty"` // the objects are not of this run's making
	Ended   bool      `json:"ended,omitempty"` // given up before its end: dead at once
}

func (c claim) String() string {
	return fmt.Sprintf("%s by process %d on %s since %s", c.What, c.PID, c.Host, c.Started.Format(time.RFC3339))
}

// lease is a claim that we hold.
type lease struct {
	control control
	key     string
	now     func() time.Time

	md5ETags bool // ETags of this bucket are MD5s: not so with KMS, or on some servers

	mu    sync.Mutex
	claim claim     // guarded by mu
	etag  string    // guarded by mu
	last  time.Time // guarded by mu; when it was last known to be ours, by the wall clock
	lost  error     // guarded by mu; why it is ours no more
}

// acquire takes the lease at key. A live one of somebody else is ErrLocked,
// unless takeOver. A dead one is taken over, and its claim is returned for what
// it tells.
func (s *Store) acquire(ctx context.Context, key string, c claim, takeOver bool) (*lease, *claim, error) {
	l := &lease{control: s.control, key: key, now: s.cfg.Now, claim: c}
	data, err := encodeJSON(c)
	if err != nil {
		return nil, nil, err
	}
	etag, err := s.control.create(ctx, key, data, jsonType)
	if err == nil {
		s.tried.Do(func() { etag = s.tryConditions(ctx, key, data, etag) })
		l.taken(data, etag)
		return l, nil, nil
	}
	if !errors.Is(err, s3.ErrExists) {
		return nil, nil, err
	}
	old, oldETag, alive, err := s.inspect(ctx, key)
	switch {
	case errors.Is(err, s3.ErrNotFound): // given up a moment ago
		return nil, nil, fmt.Errorf("%w: it is ending just now, try again", ErrLocked)
	case err != nil:
		return nil, nil, err
	case alive && !takeOver:
		return nil, nil, fmt.Errorf("%w: %s", ErrLocked, old)
	}
	if etag, err = s.control.replace(ctx, key, data, oldETag); err != nil {
		if errors.Is(err, s3.ErrChanged) {
			err = fmt.Errorf("%w: it took over a moment ago", ErrLocked)
		}
		return nil, nil, err
	}
	l.taken(data, etag)
	return l, &old, nil
}

// tryConditions finds out whether the server minds conditions at all, by creating
// a file of ours again. Where it does not, nothing keeps two runs apart.
func (s *Store) tryConditions(ctx context.Context, key string, data []byte, etag string) string {
	o := s3.PutOptions{IfNoneMatch: "*", Attributes: s3.Attributes{ContentType: jsonType}}
	again, err := s.dest.Put(ctx, key, bytes.NewReader(data), o)
	if err != nil {
		return etag // as it should be, or we will hear of it soon
	}
	s.cfg.Log.Warn("this server ignores conditions: let only one program make, remove or restore snapshots at a time")
	return again.ETag
}

// taken notes that the lease is ours, and how this bucket makes ETags.
func (l *lease) taken(data []byte, etag string) {
	sum := md5.Sum(data)
	md5sum, _ := md5ETag(etag)
	l.md5ETags = md5sum == hex.EncodeToString(sum[:])
	l.renewed(etag)
}

// inspect reads a lease file, judging its age by the server's clock.
func (s *Store) inspect(ctx context.Context, key string) (c claim, etag string, alive bool, err error) {
	read, err := s.control.readJSON(ctx, key, &c)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return claim{}, "", false, err
	}
	info, err := s.dest.Head(ctx, key) // damaged or not, it has an age
	if err != nil {
		return claim{}, "", false, err
	}
	if c.Ended && info.ETag == read { // else somebody took it since
		return c, info.ETag, false, nil
	}
	now, err := s.serverTime(ctx)
	if err != nil {
		return claim{}, "", false, err
	}
	return c, info.ETag, now.Sub(info.LastModified) < leaseDead, nil
}

// serverTime asks the server for its time by writing something, as this is the
// clock that stamps the leases. One that only reads takes its own clock.
func (s *Store) serverTime(ctx context.Context) (time.Time, error) {
	if s.cfg.ReadOnly {
		return s.cfg.Now(), nil
	}
	if _, err := s.dest.Put(ctx, s.at.clock(), emptyBody(), s3.PutOptions{}); err != nil {
		return time.Time{}, err
	}
	info, err := s.dest.Head(ctx, s.at.clock())
	return info.LastModified, err
}

// run is the name of the run that holds the lease.
func (l *lease) run() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claim.Run
}

func (l *lease) renewed(etag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.etag = etag
	l.last = l.now().Round(0) // the wall clock goes on while a laptop sleeps
}

// check returns ErrLost if the lease may be somebody else's by now. Call it
// before each step that the next holder must not meet.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil && l.now().Round(0).Sub(l.last) > leaseGrace {
		l.lost = fmt.Errorf("%w: the lease %s was not renewed since %s", ErrLost, l.key, l.last.UTC().Format(time.RFC3339))
	}
	return l.lost
}

// beat renews the lease once. ErrLost is for ever; after another error the lease
// is ours as long as check says so.
func (l *lease) beat(ctx context.Context) error {
	if err := l.check(); err != nil {
		return err
	}
	return l.update(ctx, false)
}

// abandon marks the lease as dead, so that the next run need not wait until it
// looks so. An error means that it has to.
func (l *lease) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	return l.update(ctx, true)
}

func (l *lease) update(ctx context.Context, ended bool) error {
	l.mu.Lock()
	next, etag := l.claim, l.etag
	l.mu.Unlock()
	next.Beat++
	next.Ended = ended
	data, err := encodeJSON(next)
	if err != nil {
		return err
	}
	etag, err = l.control.replace(ctx, l.key, data, etag)
	if errors.Is(err, s3.ErrChanged) || errors.Is(err, s3.ErrNotFound) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost = fmt.Errorf("%w: somebody else has the lease %s", ErrLost, l.key)
		return l.lost
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.claim = next
	l.mu.Unlock()
	l.renewed(etag)
	return nil
}

// hold runs work while it keeps the lease renewed, and cancels work's context
// when it is lost.
func (l *lease) hold(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var beating sync.WaitGroup
	stop := make(chan struct{})
	beating.Go(func() {
		ticker := time.NewTicker(leaseBeat)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			if err := l.beat(ctx); errors.Is(err, ErrLost) {
				cancel(err)
				return
			}
		}
	})
	err := work(ctx)
	close(stop)
	beating.Wait()
	if lost := context.Cause(ctx); err != nil && errors.Is(lost, ErrLost) {
		return lost
	}
	return err
}

// release gives the lease up. An error is of no consequence but that others wait
// until it counts as dead.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return nil
	}
	return l.control.bucket.Delete(ctx, s3.Target{Key: l.key, ETag: l.etag})
}
