package s3test

import (
	"maps"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

func testCopy(s *suite) {
	want := attributes()
	_, err := s.Put(s.Context(), "source", strings.NewReader("content"), s3.PutOptions{Attributes: want})
	s.ok(err)
	info, err := s.Copy(s.Context(), s3.Source{Key: "source"}, "dir/copy", s3.CopyOptions{})
	s.ok(err)
	head := s.head("dir/copy")
	s.equal("ETag", info.ETag, head.ETag)
	s.equal("key", info.Key, "dir/copy")
	s.equal("size that is not told", info.Size, int64(-1))
	if !s.features.NoMD5 {
		s.equal("ETag of equal content", head.ETag, s.head("source").ETag)
	}
	s.sameAttributes("copy", head.Attributes, want)
	s.equal("content", s.read("dir/copy", s3.GetOptions{}), "content")
}

func testCopyReplacesAttributes(s *suite) {
	_, err := s.Put(s.Context(), "a", strings.NewReader("content"), s3.PutOptions{Attributes: attributes()})
	s.ok(err)
	want := s3.Attributes{ContentType: "text/plain", Metadata: map[string]string{"mode": "33188"}}
	_, err = s.Copy(s.Context(), s3.Source{Key: "a"}, "b", s3.CopyOptions{Attributes: &want})
	s.ok(err)
	s.sameAttributes("copy", s.head("b").Attributes, want)

	if s.features.CopyOntoMerges {
		return
	}
	want.Metadata = map[string]string{"mode": "33206"}
	_, err = s.Copy(s.Context(), s3.Source{Key: "a"}, "a", s3.CopyOptions{Attributes: &want})
	s.ok(err)
	s.sameAttributes("copy onto itself", s.head("a").Attributes, want)
	s.equal("content", s.read("a", s3.GetOptions{}), "content")
}

func testCopyConditions(s *suite) {
	copyTo := func(src s3.Source, dst string, o s3.CopyOptions) error {
		_, err := s.Copy(s.Context(), src, dst, o)
		return err
	}
	old := s.put("source", "old").ETag
	fresh := s.put("source", "new").ETag
	s.fails(copyTo(s3.Source{Key: "source", ETag: old}, "copy", s3.CopyOptions{}), s3.ErrChanged)
	_, err := s.Head(s.Context(), "copy")
	s.fails(err, s3.ErrNotFound)
	s.ok(copyTo(s3.Source{Key: "source", ETag: fresh}, "copy", s3.CopyOptions{}))
	s.equal("content", s.read("copy", s3.GetOptions{}), "new")

	if s.features.NoCopyCond {
		return
	}
	s.fails(copyTo(s3.Source{Key: "source"}, "copy", s3.CopyOptions{IfNoneMatch: "*"}), s3.ErrExists)
	s.fails(copyTo(s3.Source{Key: "source", ETag: fresh}, "copy", s3.CopyOptions{IfNoneMatch: "*"}), s3.ErrExists)
	s.fails(copyTo(s3.Source{Key: "source", ETag: old}, "free", s3.CopyOptions{IfNoneMatch: "*"}), s3.ErrChanged)
	s.fails(copyTo(s3.Source{Key: "source"}, "copy", s3.CopyOptions{IfMatch: old}), s3.ErrChanged)
	s.fails(copyTo(s3.Source{Key: "source"}, "free", s3.CopyOptions{IfMatch: old}), s3.ErrChanged)
	s.ok(copyTo(s3.Source{Key: "source"}, "copy", s3.CopyOptions{IfMatch: s.head("copy").ETag}))
	s.ok(copyTo(s3.Source{Key: "source"}, "free", s3.CopyOptions{IfNoneMatch: "*"}))
}

func testTags(s *suite) {
	tags, ok := s3.As[s3.Tags](s.Bucket)
	if !ok {
		s.Skip("the bucket has no tags")
	}
	get := func(key string) map[string]string {
		s.Helper()
		got, err := tags.GetTags(s.Context(), key, "")
		s.ok(err)
		return got
	}
	want := map[string]string{"color": "green or blue", "a+b=c:d": "e/f@g-h._"}
	_, err := s.Put(s.Context(), "a", strings.NewReader("x"), s3.PutOptions{Tags: want})
	s.ok(err)
	if got := get("a"); !maps.Equal(got, want) {
		s.Errorf("tags of a put: %q", got)
	}
	_, err = s.Copy(s.Context(), s3.Source{Key: "a"}, "b", s3.CopyOptions{})
	s.ok(err)
	if got := get("b"); !maps.Equal(got, want) {
		s.Errorf("tags of a copy: %q", got)
	}
	_, err = s.Copy(s.Context(), s3.Source{Key: "a"}, "c", s3.CopyOptions{DropTags: true})
	s.ok(err)
	s.equal("dropped tags", len(get("c")), 0)
	s.ok(tags.PutTags(s.Context(), "c", "", map[string]string{"k": "v"}))
	s.equal("number of tags", s.head("c").Tags, 1)
	s.ok(tags.PutTags(s.Context(), "c", "", nil))
	s.equal("no tags", len(get("c")), 0)
	_, err = tags.GetTags(s.Context(), "missing", "")
	s.fails(err, s3.ErrNotFound)
}

func testStorageClass(s *suite) {
	if s.features.NoStorageClass {
		s.Skip("the server ignores storage classes")
	}
	_, err := s.Put(s.Context(), "a", strings.NewReader("x"), s3.PutOptions{StorageClass: "STANDARD_IA"})
	s.ok(err)
	s.equal("class", s.head("a").StorageClass, "STANDARD_IA")
	_, err = s.Copy(s.Context(), s3.Source{Key: "a"}, "b", s3.CopyOptions{})
	s.ok(err)
	s.equal("class of a copy", s.head("b").StorageClass, "")
	page, err := s.ListPage(s.Context(), s3.ListInput{})
	s.ok(err)
	s.equal("listed classes", []string{page.Objects[0].StorageClass, page.Objects[1].StorageClass}, []string{"STANDARD_IA", ""})
}
