package s3_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// source stores an object with everything that a copy has to keep.
func source(t *testing.T, b s3.Bucket, content string) s3.Object {
	t.Helper()
	_, err := b.Put(t.Context(), "source", strings.NewReader(content), s3.PutOptions{
		Attributes: s3.Attributes{ContentType: "text/plain", CacheControl: "no-cache", Metadata: map[string]string{"k": "v"}},
		Tags:       map[string]string{"tag": "value"},
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := b.Head(t.Context(), "source")
	if err != nil {
		t.Fatal(err)
	}
	return info.Object
}

// small makes a test copy anything in parts.
var small = s3.CopyConfig{Threshold: 10, PartSize: 7}

func TestCopyObjectKeepsEverythingOnBothPaths(t *testing.T) {
	for name, cfg := range map[string]s3.CopyConfig{"whole": {}, "parts": small} {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		f := s3test.NewFaulty(m, s3test.Plan{})
		content := strings.Repeat("0123456789", 10)
		src := source(t, m, content)
		info, err := s3.CopyObject(t.Context(), f, src, "copy", s3.CopyOptions{}, cfg)
		if err != nil || info.Size != 100 {
			t.Fatalf("%s: %+v, %v", name, info, err)
		}
		if got := f.Calls()[s3.OpCopyPart]; (got == 15) != (name == "parts") {
			t.Errorf("%s: %v", name, f.Calls())
		}
		if got, _ := m.Bytes("copy"); string(got) != content {
			t.Errorf("%s: content %q", name, got)
		}
		from, _ := m.Head(t.Context(), "source")
		to, _ := m.Head(t.Context(), "copy")
		if diff := cmp.Diff(from.Attributes, to.Attributes); diff != "" || to.ETag != info.ETag {
			t.Errorf("%s: attributes (-source +copy):\n%s", name, diff)
		}
		if tags, _ := m.GetTags(t.Context(), "copy", ""); !maps.Equal(tags, map[string]string{"tag": "value"}) {
			t.Errorf("%s: tags %v", name, tags)
		}
	}
}

func TestCopyObjectReplacesAttributes(t *testing.T) {
	for name, cfg := range map[string]s3.CopyConfig{"whole": {}, "parts": small} {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		src := source(t, m, strings.Repeat("x", 50))
		want := s3.Attributes{ContentType: "image/png"}
		if _, err := s3.CopyObject(t.Context(), m, src, "copy", s3.CopyOptions{Attributes: &want, DropTags: true}, cfg); err != nil {
			t.Fatal(err)
		}
		got, _ := m.Head(t.Context(), "copy")
		if diff := cmp.Diff(want, got.Attributes); diff != "" || got.Tags != 0 {
			t.Errorf("%s: %d tags, attributes (-want +got):\n%s", name, got.Tags, diff)
		}
	}
}

func TestCopyObjectFailsWithoutATrace(t *testing.T) {
	fail := func(op string, kind error) []s3test.Rule {
		return []s3test.Rule{{Op: op, Nth: 3, Fault: s3test.Fault{Do: s3test.Fail, Kind: kind}}}
	}
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	src := source(t, m, strings.Repeat("x", 50))
	f := s3test.NewFaulty(m, s3test.Plan{Rules: fail(s3.OpCopyPart, s3.ErrQuota)})
	_, err := s3.CopyObject(t.Context(), f, src, "copy", s3.CopyOptions{}, small)
	if !errors.Is(err, s3.ErrQuota) || len(m.Uploads()) != 0 || len(m.Keys()) != 1 {
		t.Errorf("%v, uploads %v, keys %v", err, m.Uploads(), m.Keys())
	}
	m.PutBytes("source", []byte(strings.Repeat("y", 50)))
	for name, cfg := range map[string]s3.CopyConfig{"whole": {}, "parts": small} {
		_, err = s3.CopyObject(t.Context(), m, src, "copy", s3.CopyOptions{}, cfg)
		if !errors.Is(err, s3.ErrChanged) || len(m.Uploads()) != 0 || len(m.Keys()) != 1 {
			t.Errorf("%s of a changed source: %v, uploads %v, keys %v", name, err, m.Uploads(), m.Keys())
		}
	}
}

func TestCopyObjectOfAnOldVersion(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	if err := m.SetVersioning(t.Context(), s3.VersioningEnabled); err != nil {
		t.Fatal(err)
	}
	src := source(t, m, strings.Repeat("old", 20))
	m.PutBytes("source", []byte("new"))
	if _, err := s3.CopyObject(t.Context(), m, src, "copy", s3.CopyOptions{}, small); err != nil {
		t.Fatal(err)
	}
	got, _ := m.Head(t.Context(), "copy")
	if content, _ := m.Bytes("copy"); string(content) != strings.Repeat("old", 20) || got.CacheControl != "no-cache" {
		t.Errorf("content %q, %+v", content, got.Attributes)
	}
}

// noTags refuses everything about tags, as keys of old bindings do.
type noTags struct{ *s3test.Mem }

func (b noTags) Copy(ctx ctx, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	if !o.DropTags {
		return s3.Info{}, &s3.Error{Op: s3.OpCopy, Key: dst, Kind: s3.ErrDenied}
	}
	return b.Mem.Copy(ctx, src, dst, o)
}

func (b noTags) GetTags(_ ctx, key, _ string) (map[string]string, error) {
	return nil, &s3.Error{Op: s3.OpGetTags, Key: key, Kind: s3.ErrDenied}
}

func TestCopyObjectWithoutRightToTags(t *testing.T) {
	for name, cfg := range map[string]s3.CopyConfig{"whole": {}, "parts": small} {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		src := source(t, m, strings.Repeat("x", 50))
		var lost []string
		cfg.TagsLost = func(key string) { lost = append(lost, key) }
		_, err := s3.CopyObject(t.Context(), noTags{m}, src, "copy", s3.CopyOptions{}, cfg)
		if err != nil || len(lost) != 1 || lost[0] != "copy" {
			t.Errorf("%s: %v, tags lost of %v", name, err, lost)
		}
	}
}

func TestCopyObjectFromAnotherBucket(t *testing.T) {
	neighbours := map[string]*s3test.Mem{}
	from := s3test.NewMem(s3test.MemConfig{})
	neighbours["other"] = from
	to := s3test.NewMem(s3test.MemConfig{MinPartSize: 1, Neighbours: neighbours})
	src := source(t, from, strings.Repeat("x", 50))
	for name, cfg := range map[string]s3.CopyConfig{"whole": {}, "parts": small} {
		cfg.Source, cfg.SourceName = from, "other"
		if _, err := s3.CopyObject(t.Context(), to, src, name, s3.CopyOptions{}, cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := to.Head(t.Context(), name); got.CacheControl != "no-cache" || got.Tags != 1 || got.Size != 50 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// noCopyConditions knows conditions for uploads alone.
type noCopyConditions struct{ *s3test.Mem }

func (b noCopyConditions) Copy(ctx ctx, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	if o.IfMatch != "" || o.IfNoneMatch != "" {
		return s3.Info{}, &s3.Error{Op: s3.OpCopy, Key: dst, Kind: s3.ErrUnsupported, Code: "NotImplemented", Status: 501}
	}
	return b.Mem.Copy(ctx, src, dst, o)
}

func TestCopyObjectKeepsConditionsThatTheServerHasForUploads(t *testing.T) {
	for _, content := range []string{"some content", ""} {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
		b := noCopyConditions{m}
		src := source(t, m, content)
		theirs := m.PutBytes("taken", []byte("theirs"))
		for _, row := range []struct {
			dst  string
			o    s3.CopyOptions
			want error
		}{
			{"free", s3.CopyOptions{IfNoneMatch: "*"}, nil},
			{"taken", s3.CopyOptions{IfNoneMatch: "*"}, s3.ErrExists},
			{"taken", s3.CopyOptions{IfMatch: src.ETag}, s3.ErrChanged},
			{"gone", s3.CopyOptions{IfMatch: src.ETag}, s3.ErrChanged},
			{"taken", s3.CopyOptions{IfMatch: theirs.ETag}, nil},
		} {
			info, err := s3.CopyObject(t.Context(), b, src, row.dst, row.o, s3.CopyConfig{})
			if !errors.Is(err, row.want) || len(m.Uploads()) != 0 {
				t.Errorf("%+v to %s: %v, want %v; uploads %v", row.o, row.dst, err, row.want, m.Uploads())
			}
			if row.want != nil || err != nil {
				continue
			}
			got, _ := m.Head(t.Context(), row.dst)
			if data, _ := m.Bytes(row.dst); string(data) != content || got.CacheControl != "no-cache" || got.Tags != 1 || got.ETag != info.ETag {
				t.Errorf("%+v to %s: %q, %+v", row.o, row.dst, data, got)
			}
		}
		// The version that is copied is a condition too.
		stale := src
		stale.ETag = theirs.ETag
		if _, err := s3.CopyObject(t.Context(), b, stale, "other", s3.CopyOptions{IfNoneMatch: "*"}, s3.CopyConfig{}); !errors.Is(err, s3.ErrChanged) {
			t.Errorf("of another version: %v", err)
		}
	}
}

// Whatever has no conditions at all says so, as for a Put.
func TestCopyObjectWithoutAnyConditions(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	unsupported := s3test.Fault{Do: s3test.Fail, Kind: s3.ErrUnsupported}
	b := s3test.NewFaulty(m, s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Fault: unsupported}, {Op: s3.OpCompleteUpload, Fault: unsupported}}})
	src := source(t, m, "content")
	for _, o := range []s3.CopyOptions{{}, {IfNoneMatch: "*"}} {
		if _, err := s3.CopyObject(t.Context(), b, src, "copy", o, s3.CopyConfig{}); !errors.Is(err, s3.ErrUnsupported) || len(m.Uploads()) != 0 {
			t.Errorf("%+v: %v, uploads %v", o, err, m.Uploads())
		}
	}
	if n := b.Calls()[s3.OpNewUpload]; n != 1 {
		t.Errorf("%d uploads began, want the conditional one", n)
	}
}
