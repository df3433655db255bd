package s3test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Features says what a server lacks, or cannot do in a test. The zero value is
// S3 itself.
type Features struct {
	PathKeys        bool // keys are paths: no "a" beside "a/b", no "//", no "." parts, none over 255 bytes, UTF-8 only
	NoKeyEncoding   bool // listings cannot show control characters
	NoCopyCond      bool // If-Match and If-None-Match on the destination of a Copy are ignored
	CopyOntoMerges  bool // a Copy onto itself that replaces attributes keeps those that are not given
	NoDeleteCond    bool // If-Match on a Delete is ignored
	NoMD5           bool // ETags are not MD5
	NoVersions      bool // no object versions
	NoVersionsPages bool // the list of versions is right only in one page
	NoStorageClass  bool // storage classes are ignored
	WrongCopiedSums bool // a part copied from a range gets the checksum of the whole source
	SmallParts      bool // parts may be smaller than s3.MinPartSize
	LongListing     int  // keys of a listing with many pages; 0 is 2,500
}

// Run checks that the bucket that open returns, which must be empty, behaves as
// [s3.Bucket] promises. open is called once for each test.
func Run(t *testing.T, open func(t *testing.T) s3.Bucket, f Features) {
	tests := []struct {
		name string
		run  func(s *suite)
	}{
		{"PutGetHead", testPutGetHead},
		{"MissingObject", testMissingObject},
		{"Attributes", testAttributes},
		{"MetadataBeyondASCII", testMetadataBeyondASCII},
		{"InvalidRequests", testInvalidRequests},
		{"Ranges", testRanges},
		{"ReadConditions", testReadConditions},
		{"OneVersionPerBody", testOneVersionPerBody},
		{"PutReadsFromWhereItStands", testPutReadsFromWhereItStands},
		{"PutConditions", testPutConditions},
		{"ETags", testETags},
		{"OddKeys", testOddKeys},
		{"LongKeys", testLongKeys},
		{"ListOrder", testListOrder},
		{"ManyKeys", testManyKeys},
		{"ListDelimiterPages", testListDelimiterPages},
		{"ListStartAfter", testListStartAfter},
		{"ListEmpty", testListEmpty},
		{"Delete", testDelete},
		{"DeleteConditions", testDeleteConditions},
		{"Copy", testCopy},
		{"CopyReplacesAttributes", testCopyReplacesAttributes},
		{"CopyConditions", testCopyConditions},
		{"Tags", testTags},
		{"StorageClass", testStorageClass},
		{"Upload", testUpload},
		{"UploadReplacedParts", testUploadReplacedParts},
		{"UploadCopyPart", testUploadCopyPart},
		{"UploadConditions", testUploadConditions},
		{"UploadAbort", testUploadAbort},
		{"UploadResume", testUploadResume},
		{"UploadList", testUploadList},
		{"UploadRefused", testUploadRefused},
		{"Canceled", testCanceled},
		{"CORS", testCORS},
		{"Versions", testVersions},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{T: t, Bucket: open(t), features: f})
		})
	}
}

// suite is one test over one bucket, with helpers that end it on failure.
type suite struct {
	*testing.T
	s3.Bucket
	features Features
}

// partSize is that of the parts which tests upload, in bytes.
func (s *suite) partSize() int {
	if s.features.SmallParts {
		return 1 << 10
	}
	return s3.MinPartSize
}

func (s *suite) put(key, content string) s3.Info {
	s.Helper()
	info, err := s.Put(s.Context(), key, strings.NewReader(content), s3.PutOptions{})
	s.ok(err)
	return info
}

func (s *suite) read(key string, o s3.GetOptions) string {
	s.Helper()
	body, err := s.Get(s.Context(), key, o)
	s.ok(err)
	defer body.Close()
	data, err := io.ReadAll(body)
	s.ok(err)
	return string(data)
}

func (s *suite) head(key string) s3.Info {
	s.Helper()
	info, err := s.Head(s.Context(), key)
	s.ok(err)
	return info
}

func (s *suite) upload(key string, o s3.PutOptions) s3.Upload {
	s.Helper()
	u, err := s.NewUpload(s.Context(), key, o)
	s.ok(err)
	return u
}

func (s *suite) part(u s3.Upload, n int, content string) s3.Part {
	s.Helper()
	p, err := u.Part(s.Context(), n, strings.NewReader(content))
	s.ok(err)
	return p
}

// list reads all pages.
func (s *suite) list(in s3.ListInput) (keys, prefixes []string) {
	s.Helper()
	for range 10_000 {
		page, err := s.ListPage(s.Context(), in)
		s.ok(err)
		for _, o := range page.Objects {
			keys = append(keys, o.Key)
		}
		prefixes = append(prefixes, page.Prefixes...)
		if page.Next == "" {
			return keys, prefixes
		}
		in.Token = page.Next
	}
	s.Fatal("the listing does not end")
	return nil, nil
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fails checks that err is an *s3.Error, or a *s3.DeleteError, of one of the kinds.
func (s *suite) fails(err error, kinds ...error) {
	s.Helper()
	var e *s3.Error
	if !errors.As(err, &e) {
		s.Fatalf("got %v, want an *s3.Error of the kind %v", err, kinds)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return
		}
	}
	s.Fatalf("got %v, want the kind %v", err, kinds)
}

func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		s.Errorf("%s: got %s, want %s", what, shorten(g), shorten(w))
	}
}

func shorten(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", s[:300], len(s))
	}
	return s
}

// pattern is n bytes that differ everywhere and by seed.
func pattern(seed byte, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8)*31 + byte(i)*7 + seed
	}
	return string(b)
}
