package s3test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Call is one call that reached a Faulty. A Delete of many keys is one call for
// each request that it takes.
type Call struct {
	N   int // from 1 on, over all operations
	Op  string
	Key string // of a Delete, the first; of a listing, the prefix
}

// Faulty is a bucket that fails by a plan. It counts and records all calls,
// also the failed ones. It is safe for concurrent use.
type Faulty struct {
	bucket s3.Bucket

	mu      sync.Mutex
	plan    Plan           // guarded by mu; with the state of its rules
	fired   []int          // guarded by mu; how often each rule matched, for Rule.Nth
	calls   map[string]int // guarded by mu; by operation
	log     []Call         // guarded by mu
	crashed bool           // guarded by mu
}

// NewFaulty wraps b. The zero Plan only counts.
func NewFaulty(b s3.Bucket, plan Plan) *Faulty {
	f := &Faulty{bucket: b, calls: map[string]int{}}
	f.SetPlan(plan)
	return f
}

// Unwrap returns the bucket that f makes fail.
func (f *Faulty) Unwrap() s3.Bucket { return f.bucket }

// SetPlan replaces the plan from the next call on and heals a crash. Calls keep
// being numbered from where they were; see [Faulty.Reset].
func (f *Faulty) SetPlan(plan Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan.start()
	f.fired = make([]int, len(plan.Rules))
	f.crashed = false
}

// Reset forgets all recorded calls and begins to count anew.
func (f *Faulty) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.log = map[string]int{}, nil
}

// Calls returns how many calls there were of each operation.
func (f *Faulty) Calls() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.calls)
}

// Log returns all calls in order.
func (f *Faulty) Log() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// Crashed says whether the plan's crash has happened.
func (f *Faulty) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// next records a call and returns what is to happen to it.
func (f *Faulty) next(op, key string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	call := Call{N: len(f.log) + 1, Op: op, Key: key}
	f.log = append(f.log, call)
	if f.crashed {
		return Fault{Do: Fail}
	}
	if f.plan.Crash.At != 0 && call.N >= f.plan.Crash.At {
		f.crashed = true
		return f.plan.Crash.fault(op)
	}
	for i, rule := range f.plan.Rules {
		if !rule.matches(call) {
			continue
		}
		f.fired[i]++
		if f.plan.fires(rule, f.fired[i]) {
			return rule.Fault
		}
	}
	return Fault{}
}

// do carries a call out under its fault. call may be run or not; its error is
// passed on.
func (f *Faulty) do(ctx context.Context, op, key string, fault Fault, call func() error) error {
	if fault.Delay > 0 {
		if err := f.sleep(ctx, fault.Delay); err != nil {
			return &s3.Error{Op: op, Key: key, Kind: s3.ErrCanceled, Err: err}
		}
	}
	switch fault.Do {
	case Fail:
		return fault.error(op, key)
	case Hang:
		<-ctx.Done()
		return &s3.Error{Op: op, Key: key, Kind: s3.ErrCanceled, Err: context.Cause(ctx)}
	case Drop:
		if err := call(); err != nil {
			return err
		}
		return fault.error(op, key)
	}
	return call()
}

func (f *Faulty) sleep(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	sleep := f.plan.Sleep
	f.mu.Unlock()
	return sleep(ctx, d)
}

// Head implements [s3.Bucket].
func (f *Faulty) Head(ctx context.Context, key string) (info s3.Info, err error) {
	err = f.do(ctx, s3.OpHead, key, f.next(s3.OpHead, key), func() (err error) {
		info, err = f.bucket.Head(ctx, key)
		return err
	})
	return orZero(info, err)
}

// Get implements [s3.Bucket].
func (f *Faulty) Get(ctx context.Context, key string, o s3.GetOptions) (body *s3.Body, err error) {
	fault := f.next(s3.OpGet, key)
	err = f.do(ctx, s3.OpGet, key, fault, func() (err error) {
		body, err = f.bucket.Get(ctx, key, o)
		return err
	})
	if err != nil {
		if body != nil {
			body.Close()
		}
		return nil, err
	}
	body.ReadCloser = fault.spoilReply(key, body)
	return body, nil
}

// ListPage implements [s3.Bucket].
func (f *Faulty) ListPage(ctx context.Context, in s3.ListInput) (page s3.Page, err error) {
	fault := f.next(s3.OpList, in.Prefix)
	err = f.do(ctx, s3.OpList, in.Prefix, fault, func() (err error) {
		page, err = f.bucket.ListPage(ctx, in)
		return err
	})
	if fault.Do == Empty {
		page = s3.Page{}
	}
	return orZero(page, err)
}

// Put implements [s3.Bucket].
func (f *Faulty) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (info s3.Info, err error) {
	fault := f.next(s3.OpPut, key)
	err = f.do(ctx, s3.OpPut, key, fault, func() error {
		body, err := fault.spoilRequest(s3.OpPut, key, body)
		if err != nil {
			return err
		}
		info, err = f.bucket.Put(ctx, key, body, o)
		return err
	})
	return orZero(info, err)
}

// Copy implements [s3.Bucket].
func (f *Faulty) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (info s3.Info, err error) {
	err = f.do(ctx, s3.OpCopy, dst, f.next(s3.OpCopy, dst), func() (err error) {
		info, err = f.bucket.Copy(ctx, src, dst, o)
		return err
	})
	return orZero(info, err)
}

// Delete implements [s3.Bucket].
func (f *Faulty) Delete(ctx context.Context, targets ...s3.Target) error {
	failed := &s3.DeleteError{Failed: map[string]error{}}
	for batch := range slices.Chunk(targets, s3.MaxDelete) {
		key := batch[0].Key
		err := f.do(ctx, s3.OpDelete, key, f.next(s3.OpDelete, key), func() error {
			return f.bucket.Delete(ctx, batch...)
		})
		if err == nil {
			continue
		}
		if failed.First == nil {
			failed.First = err
		}
		var some *s3.DeleteError
		if errors.As(err, &some) {
			maps.Copy(failed.Failed, some.Failed)
			continue
		}
		for _, t := range batch {
			failed.Failed[t.Key] = err
		}
	}
	if failed.First != nil {
		return failed
	}
	return nil
}

// ListUploads implements [s3.Bucket].
func (f *Faulty) ListUploads(ctx context.Context, prefix string) (list []s3.PendingUpload, err error) {
	fault := f.next(s3.OpListUploads, prefix)
	err = f.do(ctx, s3.OpListUploads, prefix, fault, func() (err error) {
		list, err = f.bucket.ListUploads(ctx, prefix)
		return err
	})
	if fault.Do == Empty {
		list = nil
	}
	return orZero(list, err)
}

// orZero makes sure that a lost answer tells nothing.
func orZero[T any](v T, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}
