package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
	"github.com/cgs3fs/cgs3fs/tests/harness"
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

func TestObjectsKeepAttributesAndTags(t *testing.T) {
	d := newDesk(t)
	d.putTagged("key", 10)
	m := d.create()
	d.Delete(t, "key")
	d.snapshot(0, "restore", m.ID)
	d.wantTagged("key", 10)
}

// TestLargeObjectsKeepAttributesAndTags does the same with an object that is copied
// in parts. Nobody should have to make one of 5 GiB for that, nor should anybody be
// able to set the limit: the package does what the command would.
func TestLargeObjectsKeepAttributesAndTags(t *testing.T) {
	d := newDesk(t)
	const size, part = 13 << 20, 5 << 20
	d.putTagged("key", size)
	bucket, err := s3.Open(s3.Config{
		Bucket: d.Bucket, Region: harness.Region, Endpoint: server.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(snapshot.Config{Source: bucket, SourceName: d.Bucket, CopyLimit: part, PartSize: part})
	if err != nil {
		t.Fatal(err)
	}
	server.Proxy.Reset()
	done, err := store.Create(t.Context(), snapshot.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dated := made{ID: string(done.ID)}.dated()
	d.wantTagged(dated+"key", size)
	d.Delete(t, "key")
	if _, err := store.Restore(t.Context(), done.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	d.wantTagged("key", size)
	if counts := server.Proxy.Counts(); counts["UploadPartCopy"] != 2*3 || counts["CopyObject"] != 0 {
		t.Errorf("requests %v", counts)
	}
	d.snapshot(0, "verify", "latest", "--level", "read")
}

// putTagged writes an object that has all that an object can have.
func (d *desk) putTagged(key string, size int) {
	d.Helper()
	_, err := d.PutObject(d.Context(), &awss3.PutObjectInput{
		Bucket: &d.Bucket, Key: &key, Body: strings.NewReader(strings.Repeat("x", size)), ContentType: aws.String("text/plain"),
		CacheControl: aws.String("no-cache"), ContentDisposition: aws.String("inline"), ContentLanguage: aws.String("en"), ContentEncoding: aws.String("x-none"),
		Metadata: map[string]string{"who": "me", "mtime": "1764500000.5"}, Tagging: aws.String("a=b&c%20d=e%2Bf"),
	})
	if err != nil {
		d.Fatal(err)
	}
}

// wantTagged checks that an object is what putTagged made.
func (d *desk) wantTagged(key string, size int64) {
	d.Helper()
	h := d.Head(d, key)
	got := map[string]string{
		"type": aws.ToString(h.ContentType), "cache": aws.ToString(h.CacheControl), "disposition": aws.ToString(h.ContentDisposition),
		"language": aws.ToString(h.ContentLanguage), "encoding": aws.ToString(h.ContentEncoding), "size": fmt.Sprint(aws.ToInt64(h.ContentLength)),
	}
	for name, value := range h.Metadata {
		got["meta "+name] = value
	}
	tags, err := d.GetObjectTagging(d.Context(), &awss3.GetObjectTaggingInput{Bucket: &d.Bucket, Key: &key})
	if err != nil {
		d.Fatal(err)
	}
	for _, tag := range tags.TagSet {
		got["tag "+aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	want := map[string]string{
		"type": "text/plain", "cache": "no-cache", "disposition": "inline", "language": "en", "encoding": "x-none", "size": fmt.Sprint(size),
		"meta who": "me", "meta mtime": "1764500000.5", "tag a": "b", "tag c d": "e+f",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("%s (-want +got):\n%s", key, diff)
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
