package s3test

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

func (q *exchange) newUpload() error {
	u, err := q.bucket.NewUpload(q.Context(), q.key, q.putOptions())
	if err != nil {
		return err
	}
	return q.document(struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		UploadId string
	}{UploadId: u.ID()})
}

// upload finds the upload that the request is about.
func (q *exchange) upload() (s3.Upload, error) {
	o := s3.PutOptions{IfMatch: q.header("If-Match"), IfNoneMatch: q.header("If-None-Match")}
	return q.bucket.ResumeUpload(q.Context(), q.key, q.query.Get("uploadId"), o)
}

func (q *exchange) part() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	if q.header("X-Amz-Copy-Source") != "" {
		return q.copyPart(u)
	}
	data, err := q.body()
	if err != nil {
		return err
	}
	p, err := u.Part(q.Context(), q.number("partNumber"), bytes.NewReader(data))
	if err != nil {
		return err
	}
	q.tell(s3.Info{Object: s3.Object{ETag: p.ETag}})
	q.tellChecksum(s3.Info{Checksum: p.Checksum})
	return nil
}

func (q *exchange) copyPart(u s3.Upload) error {
	src, err := q.source()
	if err != nil {
		return err
	}
	var r s3.Range
	if asked := q.header("X-Amz-Copy-Source-Range"); asked != "" {
		var ok bool
		if r, ok = parseRange(asked); !ok {
			return refuse(s3.OpCopyPart, q.key, s3.ErrInvalid, "InvalidArgument", 400)
		}
	}
	p, err := u.CopyPart(q.Context(), q.number("partNumber"), src, r)
	if err != nil {
		return err
	}
	return q.document(copyResult{XMLName: named("CopyPartResult"), ETag: p.ETag})
}

type partEntry struct {
	PartNumber        int
	ETag              string
	Size              int64  `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
}

func (q *exchange) listParts() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	var out struct {
		XMLName     xml.Name `xml:"ListPartsResult"`
		IsTruncated bool
		Part        []partEntry
	}
	for _, p := range u.Parts() {
		sum, _ := strings.CutPrefix(p.Checksum, "crc64nvme:")
		out.Part = append(out.Part, partEntry{p.Number, p.ETag, p.Size, sum})
	}
	return q.document(out)
}

// complete insists that the client names all parts that there are.
func (q *exchange) complete() error {
	var in struct{ Part []partEntry }
	if err := q.parse(&in); err != nil {
		return err
	}
	u, err := q.upload()
	if err != nil {
		return err
	}
	parts := u.Parts()
	ok := len(parts) == len(in.Part)
	for i := 0; ok && i < len(parts); i++ {
		ok = parts[i].Number == in.Part[i].PartNumber && parts[i].ETag == in.Part[i].ETag
	}
	if !ok {
		return refuse(s3.OpCompleteUpload, q.key, s3.ErrInvalid, "InvalidPart", 400)
	}
	info, err := u.Complete(q.Context())
	if err != nil {
		return err
	}
	return q.document(struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string
	}{ETag: info.ETag})
}

func (q *exchange) abort() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	if err := u.Abort(q.Context()); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *exchange) listUploads() error {
	list, err := q.bucket.ListUploads(q.Context(), q.query.Get("prefix"))
	if err != nil {
		return err
	}
	type entry struct{ Key, UploadId, Initiated string }
	var out struct {
		XMLName      xml.Name `xml:"ListMultipartUploadsResult"`
		EncodingType string   `xml:",omitempty"`
		IsTruncated  bool
		Upload       []entry
	}
	out.EncodingType = q.query.Get("encoding-type")
	for _, u := range list {
		out.Upload = append(out.Upload, entry{q.encode(u.Key), u.ID, stamp(u.Initiated)})
	}
	return q.document(out)
}
