package s3_test

import (
	"context"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// noMarkerCopies refuses what servers over a file system refuse.
type noMarkerCopies struct{ s3.Bucket }

func (noMarkerCopies) Copy(_ context.Context, _ s3.Source, dst string, _ s3.CopyOptions) (s3.Info, error) {
	return s3.Info{}, &s3.Error{Op: s3.OpCopy, Key: dst, Kind: s3.ErrInvalid, Code: "DirectoryObjectContainsData"}
}

func TestMarkerIsWrittenWhereItCannotBeCopied(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	marker := mem.PutBytes("d/", nil)
	if _, err := mem.Copy(t.Context(), s3.Source{Key: "d/"}, "d/", s3.CopyOptions{Attributes: &s3.Attributes{Metadata: map[string]string{"mode": "16877"}}}); err != nil {
		t.Fatal(err)
	}
	b := noMarkerCopies{mem}
	if _, err := s3.CopyObject(t.Context(), b, marker.Object, "e/", s3.CopyOptions{}, s3.CopyConfig{}); err != nil {
		t.Fatal(err)
	}
	info, err := mem.Head(t.Context(), "e/")
	if err != nil || info.Size != 0 || info.Metadata["mode"] != "16877" {
		t.Errorf("the copy is %+v, %v", info, err)
	}
	file := mem.PutBytes("f", []byte("x"))
	if _, err := s3.CopyObject(t.Context(), b, file.Object, "g", s3.CopyOptions{}, s3.CopyConfig{}); err == nil {
		t.Error("a file that could not be copied counts as copied")
	}
}
