package s3test

import (
	"crypto/md5"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
)

func testUpload(s *suite) {
	size := s.partSize()
	parts := []string{pattern(1, size), pattern(2, size), "the end"}
	old := s.put("big", "old content")
	u := s.upload("big", s3.PutOptions{Attributes: attributes()})
	s.equal("key", u.Key(), "big")
	group, ctx := errgroup.WithContext(s.Context())
	for i, part := range parts {
		group.Go(func() error {
			_, err := u.Part(ctx, i+1, strings.NewReader(part))
			return err
		})
	}
	s.ok(group.Wait())
	s.equal("ETag before completion", s.head("big").ETag, old.ETag)
	acknowledged := u.Parts()
	s.equal("parts", len(acknowledged), 3)
	for i, p := range acknowledged {
		if p.Number != i+1 || p.Size != int64(len(parts[i])) || p.ETag == "" {
			s.Errorf("part %d is %+v", i+1, p)
		}
	}
	info, err := u.Complete(s.Context())
	s.ok(err)
	head := s.head("big")
	whole := strings.Join(parts, "")
	s.equal("ETag", head.ETag, info.ETag)
	s.equal("size", head.Size, int64(len(whole)))
	s.equal("answered size", info.Size, int64(len(whole)))
	s.sameAttributes("upload", head.Attributes, attributes())
	if s.read("big", s3.GetOptions{}) != whole {
		s.Error("the content is not that of the parts")
	}
	cut := s3.Range{Offset: int64(size) - 5, Length: 10}
	s.equal("a range across parts", s.read("big", s3.GetOptions{Range: cut}), whole[size-5:size+5])
	if !s.features.NoMD5 {
		var sums []byte
		for _, part := range parts {
			sum := md5.Sum([]byte(part))
			sums = append(sums, sum[:]...)
		}
		s.equal("ETag", info.ETag, fmt.Sprintf(`"%x-3"`, md5.Sum(sums)))
		s.equal("number of parts", head.Parts, 3)
	}
}

func testUploadReplacedParts(s *suite) {
	u := s.upload("a", s3.PutOptions{})
	s.part(u, 7, "last")
	s.part(u, 2, pattern(1, s.partSize()))
	second := s.part(u, 2, pattern(2, s.partSize()))
	parts := u.Parts()
	if len(parts) != 2 || parts[0].Number != 2 || parts[0].ETag != second.ETag || parts[1].Number != 7 {
		s.Errorf("parts: %+v", parts)
	}
	_, err := u.Complete(s.Context())
	s.ok(err)
	if s.read("a", s3.GetOptions{}) != pattern(2, s.partSize())+"last" {
		s.Error("the content is not that of the parts that were sent last")
	}
}

func testUploadCopyPart(s *suite) {
	size := int64(s.partSize())
	content := pattern(3, int(size)+1000)
	source := s.put("source", content)
	src := s3.Source{Key: "source", ETag: source.ETag}
	u := s.upload("copy", s3.PutOptions{})
	p, err := u.CopyPart(s.Context(), 1, src, s3.Range{Offset: 500, Length: size})
	s.ok(err)
	s.equal("size of the part", p.Size, size)
	s.part(u, 2, pattern(4, int(size)))
	_, err = u.CopyPart(s.Context(), 3, src, s3.Range{})
	s.ok(err)
	_, err = u.CopyPart(s.Context(), 4, src, s3.Range{Offset: size})
	s.ok(err)
	_, err = u.CopyPart(s.Context(), 5, s3.Source{Key: "source", ETag: `"00000000000000000000000000000000"`}, s3.Range{Length: 1})
	s.fails(err, s3.ErrChanged)
	_, err = u.CopyPart(s.Context(), 5, s3.Source{Key: "missing"}, s3.Range{Length: 1})
	s.fails(err, s3.ErrNotFound)
	_, err = u.CopyPart(s.Context(), 5, src, s3.Range{Offset: size, Length: 2000})
	s.fails(err, s3.ErrRange, s3.ErrInvalid)
	_, err = u.Complete(s.Context())
	s.ok(err)
	if s.features.WrongCopiedSums {
		return
	}
	want := content[500:500+size] + pattern(4, int(size)) + content + content[size:]
	if s.read("copy", s3.GetOptions{}) != want {
		s.Error("the content is not that of the parts")
	}
}

func testUploadConditions(s *suite) {
	begin := func(o s3.PutOptions) s3.Upload {
		u := s.upload("a", o)
		s.part(u, 1, "uploaded")
		return u
	}
	u := begin(s3.PutOptions{IfNoneMatch: "*"})
	mine := s.put("a", "in between").ETag
	_, err := u.Complete(s.Context())
	s.fails(err, s3.ErrExists)
	s.ok(u.Abort(s.Context()))
	s.equal("content", s.read("a", s3.GetOptions{}), "in between")

	u = begin(s3.PutOptions{IfMatch: mine})
	_, err = u.Complete(s.Context())
	s.ok(err)
	u = begin(s3.PutOptions{IfMatch: mine})
	_, err = u.Complete(s.Context())
	s.fails(err, s3.ErrChanged)
	s.ok(u.Abort(s.Context()))

	s.ok(s.Delete(s.Context(), s3.Target{Key: "a"}))
	_, err = begin(s3.PutOptions{IfNoneMatch: "*"}).Complete(s.Context())
	s.ok(err)
	s.equal("content", s.read("a", s3.GetOptions{}), "uploaded")
}

func testUploadAbort(s *suite) {
	u := s.upload("a", s3.PutOptions{})
	s.part(u, 1, "x")
	s.ok(u.Abort(s.Context()))
	s.ok(u.Abort(s.Context()))
	_, err := u.Part(s.Context(), 2, strings.NewReader("x"))
	s.fails(err, s3.ErrNoUpload)
	_, err = u.Complete(s.Context())
	s.fails(err, s3.ErrNoUpload)
	_, err = s.Head(s.Context(), "a")
	s.fails(err, s3.ErrNotFound)
	list, err := s.ListUploads(s.Context(), "")
	s.ok(err)
	s.equal("pending uploads", len(list), 0)
}

func testUploadResume(s *suite) {
	first := s.upload("a", s3.PutOptions{Attributes: attributes()})
	one := s.part(first, 1, pattern(1, s.partSize()))
	u, err := s.ResumeUpload(s.Context(), "a", first.ID(), s3.PutOptions{IfNoneMatch: "*"})
	s.ok(err)
	parts := u.Parts()
	if len(parts) != 1 || parts[0].Number != 1 || parts[0].ETag != one.ETag || parts[0].Size != int64(s.partSize()) {
		s.Fatalf("resumed parts: %+v", parts)
	}
	s.part(u, 2, "end")
	_, err = u.Complete(s.Context())
	s.ok(err)
	if s.read("a", s3.GetOptions{}) != pattern(1, s.partSize())+"end" {
		s.Error("the content is not that of the parts")
	}
	s.sameAttributes("resumed upload", s.head("a").Attributes, attributes())
	_, err = s.ResumeUpload(s.Context(), "a", first.ID(), s3.PutOptions{})
	s.fails(err, s3.ErrNoUpload)
}

func testUploadList(s *suite) {
	var ids []string
	for _, key := range []string{"dir/a b", "dir/b+c", "other"} {
		u := s.upload(key, s3.PutOptions{})
		ids = append(ids, u.ID())
		defer u.Abort(s.Context())
	}
	list, err := s.ListUploads(s.Context(), "dir/")
	s.ok(err)
	if len(list) != 2 || list[0].Key != "dir/a b" || list[1].Key != "dir/b+c" {
		s.Fatalf("uploads below dir/: %+v", list)
	}
	s.equal("IDs", []string{list[0].ID, list[1].ID}, ids[:2])
	if list[0].Initiated.IsZero() {
		s.Error("nothing says when the upload was begun")
	}
	list, err = s.ListUploads(s.Context(), "")
	s.ok(err)
	s.equal("all uploads", len(list), 3)
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys", keys, []string(nil))
}

func testUploadRefused(s *suite) {
	u := s.upload("a", s3.PutOptions{})
	_, err := u.Complete(s.Context())
	s.fails(err, s3.ErrInvalid)
	if !s.features.SmallParts {
		s.part(u, 1, "too small")
		s.part(u, 2, "the last may be small")
		_, err = u.Complete(s.Context())
		s.fails(err, s3.ErrInvalid)
	}
	_, err = u.Part(s.Context(), s3.MaxParts+1, strings.NewReader("x"))
	s.fails(err, s3.ErrInvalid)
	_, err = u.Part(s.Context(), 0, strings.NewReader("x"))
	s.fails(err, s3.ErrInvalid)
	s.ok(u.Abort(s.Context()))
}
