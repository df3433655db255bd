package creds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func keys(id string) aws.Credentials {
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: "secret of " + id, Source: "test"}
}

func idOf(t testing.TB, p *Provider) string {
	t.Helper()
	c, err := p.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.AccessKeyID
}

func TestManyRefreshAndOneAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		p := newProvider(keys("old"), time.Now, func(_ context.Context, rejected keyring) (aws.Credentials, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			return keys(fmt.Sprint("new", n)), nil
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := p.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := asked.Load(); n != 1 || idOf(t, p) != "new1" {
			t.Errorf("asked %d times and got %s", n, idOf(t, p))
		}
		// S3 needs a while to know a new key: nobody is asked until then.
		if err := p.Refresh(t.Context()); err != nil || asked.Load() != 1 {
			t.Errorf("right after: asked %d times, %v", asked.Load(), err)
		}
		time.Sleep(settleTime)
		if err := p.Refresh(t.Context()); err != nil || asked.Load() != 2 {
			t.Errorf("later: asked %d times, %v", asked.Load(), err)
		}
	})
}

func TestFailedRefreshBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		down := errors.New("down")
		p := newProvider(keys("old"), time.Now, func(context.Context, keyring) (aws.Credentials, error) {
			asked++
			return aws.Credentials{}, down
		})
		for range 24 * 60 * 60 { // a day of requests, one a second
			if err := p.Refresh(t.Context()); !errors.Is(err, down) {
				t.Fatalf("Refresh = %v", err)
			}
			time.Sleep(time.Second)
		}
		if asked < 280 || asked > 300 {
			t.Errorf("asked %d times in a day, want about every five minutes", asked)
		}
	})
}

func TestReloadAsksAtOnceForTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := keys("old")
		var rejections []int
		p := newProvider(source, time.Now, func(_ context.Context, rejected keyring) (aws.Credentials, error) {
			rejections = append(rejections, len(rejected))
			return source, nil
		})
		if err := p.Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) {
			t.Fatalf("Refresh = %v", err)
		}
		for n := range 3 { // Refresh would pause, or take the last answer
			source = keys(fmt.Sprint("new", n))
			if err := p.Reload(t.Context()); err != nil || p.KeyID() != source.AccessKeyID {
				t.Errorf("Reload = %v with %s, want %s", err, p.KeyID(), source.AccessKeyID)
			}
		}
		time.Sleep(settleTime)
		if err := p.Reload(t.Context()); !errors.Is(err, ErrNoRefresh) {
			t.Errorf("Reload of the same = %v", err)
		}
		source = keys("last") // having been told in vain is no reason to pause
		if err := p.Refresh(t.Context()); err != nil || p.KeyID() != "last" {
			t.Errorf("Refresh after it = %v with %s", err, p.KeyID())
		}
		if want := []int{1, 0, 0, 0, 0, 2}; !slices.Equal(rejections, want) {
			t.Errorf("the source was told to leave out %v keys, want %v", rejections, want)
		}
	})
}

// Two keys that are both gone must not take turns: each turn would be written
// to the audit log.
func TestBadKeysDoNotTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		all := []aws.Credentials{keys("a"), keys("b"), keys("c")}
		p := newProvider(all[0], time.Now, func(_ context.Context, rejected keyring) (aws.Credentials, error) {
			asked++
			for _, k := range all {
				if !rejected.has(k) {
					return k, nil
				}
			}
			return all[0], nil
		})
		for range 3600 {
			_ = p.Refresh(t.Context()) // S3 rejects whatever it is
			time.Sleep(time.Second)
		}
		if asked > 25 {
			t.Errorf("asked %d times in an hour", asked)
		}
		all[1].SecretAccessKey = "another secret for the same id"
		time.Sleep(lastBackoff)
		if err := p.Refresh(t.Context()); err != nil || idOf(t, p) != "b" {
			t.Errorf("a new secret: %v with %s", err, idOf(t, p))
		}
	})
}

func TestInterruptedRefreshBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(keys("old"), time.Now, func(ctx context.Context, _ keyring) (aws.Credentials, error) {
			select {
			case <-ctx.Done():
				return aws.Credentials{}, ctx.Err()
			case <-time.After(time.Minute):
				return keys("new"), nil
			}
		})
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Refresh(first); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Refresh = %v", err)
		}
		if err := p.Refresh(t.Context()); err != nil || idOf(t, p) != "new" {
			t.Errorf("the next Refresh = %v with %s", err, idOf(t, p))
		}
	})
}

func TestTemporaryKeysAreRenewedBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var failing error
		temporary := func() aws.Credentials {
			n++
			c := keys(fmt.Sprint("id", n))
			c.CanExpire, c.Expires = true, time.Now().Add(time.Hour)
			return c
		}
		p := newProvider(temporary(), time.Now, func(context.Context, keyring) (aws.Credentials, error) { return temporary(), failing })
		time.Sleep(58 * time.Minute)
		if id := idOf(t, p); id != "id1" {
			t.Errorf("renewed too early: %s", id)
		}
		time.Sleep(90 * time.Second)
		if id := idOf(t, p); id != "id2" {
			t.Errorf("not renewed: %s", id)
		}
		failing = errors.New("down")
		time.Sleep(time.Hour - 30*time.Second)
		if id := idOf(t, p); id != "id2" {
			t.Errorf("keys that are still good are not used: %s", id)
		}
		time.Sleep(time.Minute)
		if _, err := p.Retrieve(t.Context()); !errors.Is(err, failing) {
			t.Errorf("Retrieve after the end = %v", err)
		}
	})
}

func TestSourceThatCannotChange(t *testing.T) {
	b := find(t, request(t, map[string]string{"VCAP_SERVICES": vcap("one/b/id")}))
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) {
		t.Errorf("Refresh = %v, want ErrNoRefresh", err)
	}
	if err := (Binding{}).Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) {
		t.Errorf("Refresh of nothing = %v, want ErrNoRefresh", err)
	}
}
