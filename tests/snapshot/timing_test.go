package snapshot

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestTimingBesideOthers copies the same objects within one bucket with cgs3fs,
// aws s3 sync and rclone sync, one after the other, and prints how long each
// took. Ours also checks the copies and leaves a manifest. It takes minutes, so
// it runs only with CGS3FS_TIMING set, to the number of objects.
func TestTimingBesideOthers(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CGS3FS_TIMING"))
	if err != nil {
		t.Skip("set CGS3FS_TIMING to a number of objects, such as 20000")
	}
	d := newDesk(t)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range n {
		group.Go(func() error {
			return d.Write(ctx, fmt.Sprintf("src/dir%03d/file%05d", i%200, i), []byte(fmt.Sprint("content of file ", i)))
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	d.snapshot(0, "list") // builds the program
	src := "s3://" + d.Bucket + "/src/"
	for round := range 2 { // twice, since who comes first has the cold caches
		ours := timed(func() { d.create("--from", "src/", "--note", fmt.Sprint(round)) })
		rclone := timed(func() {
			d.rclone("sync", "s3:"+d.Bucket+"/src", fmt.Sprintf("s3:%s/by-rclone%d", d.Bucket, round))
		})
		rcloneTuned := timed(func() {
			d.rclone("sync", "--transfers", "64", "--checkers", "64", "--fast-list", "s3:"+d.Bucket+"/src", fmt.Sprintf("s3:%s/by-rclone-tuned%d", d.Bucket, round))
		})
		byAWS := timed(func() {
			d.aws("s3", "sync", "--quiet", src, fmt.Sprintf("s3://%s/by-aws%d/", d.Bucket, round))
		})
		for _, tool := range []string{"by-rclone", "by-rclone-tuned", "by-aws"} {
			if keys := d.Keys(t, fmt.Sprintf("%s%d/", tool, round)); len(keys) != n {
				t.Errorf("%s copied %d of %d objects", tool, len(keys), n)
			}
		}
		t.Logf("%d objects: cgs3fs %.1fs, rclone %.1fs, rclone with 64 transfers %.1fs, aws %.1fs",
			n, ours.Seconds(), rclone.Seconds(), rcloneTuned.Seconds(), byAWS.Seconds())
		if ours > rclone || ours > byAWS {
			t.Errorf("ours is slower than another")
		}
	}
}

func timed(work func()) time.Duration {
	start := time.Now()
	work()
	return time.Since(start)
}
