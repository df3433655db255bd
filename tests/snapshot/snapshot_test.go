package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
)

func TestSnapshotIsReadByOtherTools(t *testing.T) {
	d := newDesk(t)
	files := d.fill()
	m := d.create()
	if m.State != "complete" || m.Objects != int64(len(files)) {
		t.Fatalf("made %+v", m)
	}
	live, dated := "s3:"+d.Bucket, "s3:"+d.Bucket+"/"+m.dated()
	if out := d.rclone("check", "--exclude", "/data/**", live, dated); !strings.Contains(out, "0 differences found") {
		t.Errorf("rclone check says:\n%s", out)
	}
	dir := filepath.Join(d.Home, "by-aws")
	d.aws("s3", "sync", "--quiet", "s3://"+d.Bucket+"/"+m.dated(), dir)
	if diff := cmp.Diff(files, d.tree(dir)); diff != "" {
		t.Errorf("what aws s3 sync brings down (-want +got):\n%s", diff)
	}
}

func TestSnapshotsFromDayToDay(t *testing.T) {
	d := newDesk(t)
	files := d.fill()
	first := d.create()
	d.snapshot(0, "verify", "--all", "--level", "read")
	d.Put(t, "a.txt", []byte("changed"))
	d.Delete(t, "dir/b.txt")
	second := d.create("--incremental")
	if second.Own != 1 || second.Objects != int64(len(files))-1 {
		t.Errorf("second: %+v", second)
	}
	out := d.snapshot(7, "diff", first.ID, "latest", "--exit-code")
	if out != "M a.txt\n- dir/b.txt\n" {
		t.Errorf("diff says:\n%s", out)
	}
	d.snapshot(0, "delete", first.ID) // re-homes what the second links to
	d.snapshot(0, "verify", "--all", "--level", "read")
	for _, key := range d.Keys(t, first.dated()) {
		t.Errorf("%s is left", key)
	}
	d.Put(t, "a.txt", []byte("spoilt"))
	d.Delete(t, "many/007")
	d.snapshot(0, "restore", second.ID)
	if got := string(d.Get(t, "a.txt")) + string(d.Get(t, "many/007")); got != "changednumber 7" {
		t.Errorf("restored %q", got)
	}
	dir := filepath.Join(d.Home, "restored")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.snapshot(0, "restore", second.ID, "--to-dir", dir)
	want := files
	want["a.txt"] = "changed"
	delete(want, "dir/b.txt")
	if diff := cmp.Diff(want, d.tree(dir)); diff != "" {
		t.Errorf("restored directory (-want +got):\n%s", diff)
	}
}

func TestSnapshotKeepsAttributesAndTags(t *testing.T) {
	d := newDesk(t)
	put := func(key string, size int) {
		_, err := d.PutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: &d.Bucket, Key: &key, Body: strings.NewReader(strings.Repeat("x", size)), ContentType: aws.String("text/plain"),
			CacheControl: aws.String("no-cache"), ContentDisposition: aws.String("inline"), ContentLanguage: aws.String("en"),
			Metadata: map[string]string{"who": "me"}, Tagging: aws.String("a=b&c=d"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("small", 10)
	m := d.create()
	d.Delete(t, "small")
	d.snapshot(0, "restore", m.ID)
	h := d.Head(t, "small")
	got := []string{*h.ContentType, aws.ToString(h.CacheControl), aws.ToString(h.ContentDisposition), aws.ToString(h.ContentLanguage), h.Metadata["who"]}
	if diff := cmp.Diff([]string{"text/plain", "no-cache", "inline", "en", "me"}, got); diff != "" {
		t.Error(diff)
	}
	key := "small"
	tags, err := d.GetObjectTagging(t.Context(), &awss3.GetObjectTaggingInput{Bucket: &d.Bucket, Key: &key})
	if err != nil || len(tags.TagSet) != 2 {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestSnapshotsInAnotherBucket(t *testing.T) {
	d := newDesk(t)
	files := d.fill()
	other := server.Bucket(t)
	in := []string{"--in", "s3://" + other.Bucket}
	m := d.create(in...)
	if m.Objects != int64(len(files)) {
		t.Errorf("%+v", m)
	}
	d.snapshot(0, append([]string{"verify", "--all", "--level", "head"}, in...)...)
	if got := string(other.Get(t, m.dated()+"dir/b.txt")); got != "b" {
		t.Errorf("the copy has %q", got)
	}
	d.Delete(t, "dir/b.txt")
	d.snapshot(0, append([]string{"restore", "latest"}, in...)...)
	if got := string(d.Get(t, "dir/b.txt")); got != "b" {
		t.Errorf("restored %q", got)
	}
}

func TestAdoptWhatAWSCopied(t *testing.T) {
	d := newDesk(t)
	d.fill()
	d.aws("s3", "sync", "--quiet", "s3://"+d.Bucket+"/many/", "s3://"+d.Bucket+"/data/2025/06/01/")
	d.snapshot(0, "adopt", "data/2025/06/01/")
	d.snapshot(0, "verify", "2025-06-01", "--level", "read")
	if out := d.snapshot(0, "cat", "2025-06-01", "007"); out != "number 7" {
		t.Errorf("cat prints %q", out)
	}
	if out := d.snapshot(0, "list"); !strings.Contains(out, "adopted") {
		t.Errorf("list prints:\n%s", out)
	}
}
