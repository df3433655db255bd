package fs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// The copy that writes the attributes of a large file takes long. Those of others
// do not wait for it, and a sync waits for all.
func TestAttributesDoNotWaitForThoseOfALargeFile(t *testing.T) {
	synctest.Test(t, changeBesideALargeFile)
}

func changeBesideALargeFile(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("large", []byte("content"))
	mem.PutBytes("small", []byte("content"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Key: "large", Fault: s3test.Fault{Delay: time.Minute}}}})
	change := func(name string, to int) {
		if errno := m.k.utimes(name, to); errno != 0 {
			t.Fatal(errno)
		}
		time.Sleep(2 * attributeDelay)
	}
	want := func(name, mtime string) {
		t.Helper()
		info, err := mem.Head(context.Background(), name)
		if err != nil || info.Metadata[metaMtime] != mtime {
			t.Errorf("the time of %s is %q, %v, want %q", name, info.Metadata[metaMtime], err, mtime)
		}
	}
	change("large", 1000)
	change("small", 2000)
	want("small", "2000")
	want("large", "")
	change("large", 3000) // which waits for the other copy, as one follows the other
	if err := m.fs.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	want("large", "3000")
	if errno := m.k.mkdir("d"); errno != 0 {
		t.Fatal(errno)
	}
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpPut, Key: "d/", Times: 1, Fault: s3test.Fault{Delay: time.Minute}}}})
	change("d", 1000)
	change("d", 2000) // a directory has no lock
	time.Sleep(2 * time.Minute)
	want("d/", "2000")
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// The attributes of one file can't be written for now. Those of another are not
// kept waiting for that.
func TestAttributesDoNotWaitForThoseThatFailed(t *testing.T) {
	synctest.Test(t, changeBesideAFailure)
}

func changeBesideAFailure(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("denied", []byte("content"))
	mem.PutBytes("other", []byte("content"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Key: "denied", Times: 2, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}}}})
	written := func(name string) bool {
		info, err := mem.Head(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Metadata[metaMtime] == "1000"
	}
	for _, name := range []string{"denied", "other"} {
		if errno := m.k.utimes(name, 1000); errno != 0 {
			t.Fatal(errno)
		}
		time.Sleep(attributeDelay + attributeDelay/2)
	}
	if !written("other") {
		t.Error("the other's were not written")
	}
	time.Sleep(attributeRetry)
	if !written("denied") {
		t.Error("there was no second try")
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
