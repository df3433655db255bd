package s3test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

func testPutGetHead(s *suite) {
	before := time.Now().Add(-time.Minute)
	for _, size := range []int{0, 1, 4096, 1 << 20} {
		content := pattern(1, size)
		info := s.put("object", content)
		if info.ETag == "" || info.Size != int64(size) || info.Key != "object" {
			s.Errorf("put of %d bytes answers %+v", size, info)
		}
		head := s.head("object")
		if head.ETag != info.ETag || head.Size != int64(size) || head.Key != "object" || head.StorageClass != "" {
			s.Errorf("head of %d bytes: %+v", size, head)
		}
		if head.LastModified.Before(before) || head.LastModified.After(time.Now().Add(time.Minute)) {
			s.Errorf("last modified at %v", head.LastModified)
		}
		body, err := s.Get(s.Context(), "object", s3.GetOptions{})
		s.ok(err)
		data, err := io.ReadAll(body)
		s.ok(err)
		s.ok(body.Close())
		if string(data) != content || body.Info.ETag != info.ETag || body.Info.Size != int64(size) {
			s.Errorf("get of %d bytes: %d bytes, %+v", size, len(data), body.Info)
		}
		if (body.Range != s3.Range{Length: int64(size)}) {
			s.Errorf("get of %d bytes: range %+v", size, body.Range)
		}
	}
}

func testMissingObject(s *suite) {
	_, err := s.Head(s.Context(), "missing")
	s.fails(err, s3.ErrNotFound)
	_, err = s.Get(s.Context(), "missing", s3.GetOptions{})
	s.fails(err, s3.ErrNotFound)
	_, err = s.Copy(s.Context(), s3.Source{Key: "missing"}, "copy", s3.CopyOptions{})
	s.fails(err, s3.ErrNotFound)
	_, err = s.ResumeUpload(s.Context(), "missing", "0123456789", s3.PutOptions{})
	s.fails(err, s3.ErrNoUpload)
}

// attributes is one of each.
func attributes() s3.Attributes {
	return s3.Attributes{
		ContentType:        "text/x-test; charset=utf-8",
		ContentEncoding:    "x-test",
		ContentLanguage:    "en, de",
		ContentDisposition: `attachment; filename="a b.txt"`,
		CacheControl:       "max-age=60",
		Expires:            "Thu, 01 Dec 2044 16:00:00 GMT",
		Metadata:           map[string]string{"mtime": "1763900000.123456789", "two-words": "one two", "empty": ""},
	}
}

func (s *suite) sameAttributes(what string, got, want s3.Attributes) {
	s.Helper()
	if !maps.Equal(got.Metadata, want.Metadata) {
		s.Errorf("%s: metadata %q, want %q", what, got.Metadata, want.Metadata)
	}
	got.Metadata, want.Metadata = nil, nil
	s.equal(what, got, want)
}

func testAttributes(s *suite) {
	want := attributes()
	_, err := s.Put(s.Context(), "a", strings.NewReader("x"), s3.PutOptions{Attributes: want})
	s.ok(err)
	s.sameAttributes("head", s.head("a").Attributes, want)
	body, err := s.Get(s.Context(), "a", s3.GetOptions{})
	s.ok(err)
	s.ok(body.Close())
	s.sameAttributes("get", body.Info.Attributes, want)
}

func testMetadataBeyondASCII(s *suite) {
	want := map[string]string{
		"umlaut": "grün, größer", "script": "日本語のファイル", "emoji": "🪣", "spaces": "  in front and behind ",
		"looks-encoded": "=?UTF-8?Q?no?=", "tab": "a\tb", "not-utf8": "caf\xe9", "equals": "=?", "plus": "a+b=c&d",
		"long": strings.Repeat("äöü ", 30),
	}
	_, err := s.Put(s.Context(), "a", strings.NewReader("x"), s3.PutOptions{Attributes: s3.Attributes{Metadata: want}})
	s.ok(err)
	got := s.head("a").Metadata
	for k := range want {
		s.equal("metadata "+k, got[k], want[k])
	}
}

func testInvalidRequests(s *suite) {
	put := func(o s3.PutOptions) error {
		_, err := s.Put(s.Context(), "a", strings.NewReader("x"), o)
		return err
	}
	big := s3.Attributes{Metadata: map[string]string{"k": strings.Repeat("v", 3000)}}
	s.fails(put(s3.PutOptions{Attributes: big}), s3.ErrInvalid)
	_, err := s.Put(s.Context(), strings.Repeat("k", s3.MaxKeyLength+1), strings.NewReader("x"), s3.PutOptions{})
	s.fails(err, s3.ErrInvalid)
	_, err = s.ListPage(s.Context(), s3.ListInput{Token: "no such token"})
	s.fails(err, s3.ErrInvalid)
	s.put("same", "x")
	_, err = s.Copy(s.Context(), s3.Source{Key: "same"}, "same", s3.CopyOptions{})
	s.fails(err, s3.ErrInvalid)
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys", keys, []string{"same"})
}

func testRanges(s *suite) {
	const content = "0123456789"
	s.put("digits", content)
	s.put("empty", "")
	tests := []struct {
		asked s3.Range
		want  string
	}{
		{s3.Range{}, content},
		{s3.Range{Length: 3}, "012"},
		{s3.Range{Length: 10}, content},
		{s3.Range{Length: 11}, content},
		{s3.Range{Offset: 3}, "3456789"},
		{s3.Range{Offset: 3, Length: 4}, "3456"},
		{s3.Range{Offset: 9}, "9"},
		{s3.Range{Offset: 9, Length: 1}, "9"},
		{s3.Range{Offset: 8, Length: 1 << 40}, "89"},
	}
	for _, test := range tests {
		body, err := s.Get(s.Context(), "digits", s3.GetOptions{Range: test.asked})
		s.ok(err)
		data, err := io.ReadAll(body)
		s.ok(err)
		s.ok(body.Close())
		s.equal(fmt.Sprintf("range %+v", test.asked), string(data), test.want)
		want := s3.Range{Offset: test.asked.Offset, Length: int64(len(test.want))}
		if body.Range != want || body.Info.Size != 10 {
			s.Errorf("range %+v: delivered %+v of %d", test.asked, body.Range, body.Info.Size)
		}
	}
	for _, r := range []s3.Range{{Offset: 10}, {Offset: 10, Length: 1}, {Offset: 1 << 40}} {
		_, err := s.Get(s.Context(), "digits", s3.GetOptions{Range: r})
		s.fails(err, s3.ErrRange)
	}
	_, err := s.Get(s.Context(), "empty", s3.GetOptions{Range: s3.Range{Length: 1}})
	s.fails(err, s3.ErrRange)
	_, err = s.Get(s.Context(), "digits", s3.GetOptions{Range: s3.Range{Offset: -1, Length: 1}})
	s.fails(err, s3.ErrInvalid)
	s.equal("the whole of an empty object", s.read("empty", s3.GetOptions{}), "")
}

func testReadConditions(s *suite) {
	old := s.put("a", "old").ETag
	s.equal("If-Match", s.read("a", s3.GetOptions{IfMatch: old}), "old")
	_, err := s.Get(s.Context(), "a", s3.GetOptions{IfNoneMatch: old})
	s.fails(err, s3.ErrNotModified)
	s.put("a", "new")
	_, err = s.Get(s.Context(), "a", s3.GetOptions{IfMatch: old})
	s.fails(err, s3.ErrChanged)
	_, err = s.Get(s.Context(), "a", s3.GetOptions{IfMatch: old, Range: s3.Range{Offset: 1, Length: 1}})
	s.fails(err, s3.ErrChanged)
	s.equal("If-None-Match", s.read("a", s3.GetOptions{IfNoneMatch: old}), "new")
}

func testOneVersionPerBody(s *suite) {
	old, fresh := pattern(1, 1<<20), pattern(2, 1<<20)
	s.put("a", old)
	body, err := s.Get(s.Context(), "a", s3.GetOptions{})
	s.ok(err)
	defer body.Close()
	start := make([]byte, 1000)
	_, err = io.ReadFull(body, start)
	s.ok(err)
	s.put("a", fresh)
	rest, err := io.ReadAll(body)
	s.ok(err)
	if string(start)+string(rest) != old {
		s.Error("a body that was begun before a Put does not deliver the old content")
	}
	s.equal("afterwards", s.read("a", s3.GetOptions{}), fresh)
}

func testPutReadsFromWhereItStands(s *suite) {
	body := strings.NewReader("skip this, take this")
	_, err := body.Seek(11, io.SeekStart)
	s.ok(err)
	info, err := s.Put(s.Context(), "a", body, s3.PutOptions{})
	s.ok(err)
	s.equal("size", info.Size, int64(9))
	s.equal("content", s.read("a", s3.GetOptions{}), "take this")
}

func testPutConditions(s *suite) {
	put := func(key, content string, o s3.PutOptions) (s3.Info, error) {
		return s.Put(s.Context(), key, strings.NewReader(content), o)
	}
	first, err := put("a", "first", s3.PutOptions{IfNoneMatch: "*"})
	s.ok(err)
	_, err = put("a", "second", s3.PutOptions{IfNoneMatch: "*"})
	s.fails(err, s3.ErrExists)
	second, err := put("a", "second", s3.PutOptions{IfMatch: first.ETag})
	s.ok(err)
	_, err = put("a", "third", s3.PutOptions{IfMatch: first.ETag})
	s.fails(err, s3.ErrChanged)
	s.equal("content", s.read("a", s3.GetOptions{}), "second")
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a"}))
	_, err = put("a", "fourth", s3.PutOptions{IfMatch: second.ETag})
	s.fails(err, s3.ErrChanged)
	_, err = put("a", "fifth", s3.PutOptions{IfNoneMatch: "*"})
	s.ok(err)
}

func testETags(s *suite) {
	info := s.put("a", "content")
	if !strings.HasPrefix(info.ETag, `"`) || !strings.HasSuffix(info.ETag, `"`) {
		s.Errorf("the ETag %s is not quoted", info.ETag)
	}
	page, err := s.ListPage(s.Context(), s3.ListInput{})
	s.ok(err)
	s.equal("listed ETag", page.Objects[0].ETag, info.ETag)
	s.equal("ETag of the head", s.head("a").ETag, info.ETag)
	if !s.features.NoMD5 {
		s.equal("ETag", info.ETag, fmt.Sprintf(`"%x"`, md5.Sum([]byte("content"))))
	}
}

// oddKeys is keys that a careless client or server mixes up.
func (s *suite) oddKeys() []string {
	keys := []string{
		"plain", "with space", "plus+plus", "per%20cent", "a&b=c", "quest?ion", "ha#sh", "semi;colon", "co:lon", "com,ma",
		"quo\"te", "apo's", "less<than>", "back\\slash", "tilde~", "star*", "brack[et]", "br{a}ce", "pipe|", "caret^",
		"UPPER", "upper", "ümlaut", "u\u0308mlaut", "日本語", "🪣", "dir/file", "dir/sub dir/fi+le", "@at", "$dollar", "=", "!", "-", "_",
		"trailing.", ".hidden", "per%", "%", "%2F", "+", "a%2Fb", "&amp;",
	}
	if !s.features.NoKeyEncoding {
		keys = append(keys, "tab\tkey", "line\nkey", "cr\rkey", "del\x7f", "ctl\x01\x1f")
	}
	if !s.features.PathKeys {
		keys = append(keys,
			"/", "//", "a//b", "/leading", "trailing/", "./dot", "../dotdot", "x/../y", "x/./y", ".", "..", "dir", "dir/",
			"long/"+strings.Repeat("p", 300), "bytes\xff\xfe", "caf\xe9",
		)
	}
	return keys
}

func testOddKeys(s *suite) {
	keys := s.oddKeys()
	for _, key := range keys {
		s.put(key, "content of "+key)
	}
	for _, key := range keys {
		s.equal("content of "+key, s.read(key, s3.GetOptions{}), "content of "+key)
		s.equal("size of "+key, s.head(key).Size, int64(len("content of "+key)))
		_, err := s.Copy(s.Context(), s3.Source{Key: key}, "copy", s3.CopyOptions{})
		s.ok(err)
		s.equal("copy of "+key, s.read("copy", s3.GetOptions{}), "content of "+key)
	}
	got, _ := s.list(s3.ListInput{})
	s.equal("keys", got, sorted(append(keys, "copy")))
	var targets []s3.Target
	for _, key := range append(keys, "copy") {
		targets = append(targets, s3.Target{Key: key})
	}
	s.ok(s.Delete(s.Context(), targets...))
	got, _ = s.list(s3.ListInput{})
	s.equal("keys left", got, []string(nil))
}

func testLongKeys(s *suite) {
	part := strings.Repeat("0123456789", 20)
	key := strings.Repeat(part+"/", 5)
	key += strings.Repeat("x", s3.MaxKeyLength-len(key))
	s.put(key, "long")
	s.equal("content", s.read(key, s3.GetOptions{}), "long")
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys", keys, []string{key})
	_, err := s.Head(s.Context(), key[:len(key)-1])
	s.fails(err, s3.ErrNotFound)
}

func testCanceled(s *suite) {
	s.put("a", "x")
	ctx, cancel := newCanceled(s.Context())
	defer cancel()
	_, err := s.Head(ctx, "a")
	s.fails(err, s3.ErrCanceled)
	_, err = s.Get(ctx, "a", s3.GetOptions{})
	s.fails(err, s3.ErrCanceled)
	_, err = s.Put(ctx, "b", strings.NewReader("x"), s3.PutOptions{})
	s.fails(err, s3.ErrCanceled)
	_, err = s.ListPage(ctx, s3.ListInput{})
	s.fails(err, s3.ErrCanceled)
	s.fails(s.Delete(ctx, s3.Target{Key: "a"}), s3.ErrCanceled)
	if !errors.Is(err, errWhy) {
		s.Errorf("the error does not hold the reason: %v", err)
	}
	keys, _ := s.list(s3.ListInput{})
	s.equal("keys", keys, []string{"a"})
}
