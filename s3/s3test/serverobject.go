package s3test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// tell writes what is known of an object into the answer's headers.
func (q *exchange) tell(info s3.Info) {
	h := q.w.Header()
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("ETag", info.ETag)
	set("Content-Type", info.ContentType)
	set("Content-Encoding", info.ContentEncoding)
	set("Content-Language", info.ContentLanguage)
	set("Content-Disposition", info.ContentDisposition)
	set("Cache-Control", info.CacheControl)
	set("Expires", info.Expires)
	set("X-Amz-Website-Redirect-Location", info.WebsiteRedirect)
	set("X-Amz-Storage-Class", info.StorageClass)
	set("X-Amz-Version-Id", info.VersionID)
	if info.Tags > 0 {
		set("X-Amz-Tagging-Count", strconv.Itoa(info.Tags))
	}
	if !info.LastModified.IsZero() {
		set("Last-Modified", info.LastModified.UTC().Format(http.TimeFormat))
	}
	for k, v := range info.Metadata {
		h.Set("X-Amz-Meta-"+k, v)
	}
}

// tellChecksum adds the checksum of the whole object.
func (q *exchange) tellChecksum(info s3.Info) {
	if sum, ok := strings.CutPrefix(info.Checksum, "crc64nvme:"); ok {
		q.w.Header().Set("X-Amz-Checksum-Crc64nvme", sum)
		q.w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
}

func (q *exchange) head() error {
	info, err := q.bucket.Head(q.Context(), q.key)
	if err != nil {
		return err
	}
	q.tell(info)
	q.tellChecksum(info)
	q.w.Header().Set("Content-Length", strconv.FormatInt(info.Size, 10))
	return nil
}

func (q *exchange) get() error {
	o := s3.GetOptions{IfMatch: q.header("If-Match"), IfNoneMatch: q.header("If-None-Match"), VersionID: q.query.Get("versionId")}
	asked := q.header("Range")
	if asked != "" {
		r, ok := parseRange(asked)
		if !ok {
			return refuse(s3.OpGet, q.key, s3.ErrInvalid, "InvalidArgument", 400)
		}
		o.Range = r
	}
	body, err := q.bucket.Get(q.Context(), q.key, o)
	if err != nil {
		return err
	}
	defer body.Close()
	q.tell(body.Info)
	q.w.Header().Set("Content-Length", strconv.FormatInt(body.Range.Length, 10))
	if asked != "" {
		last := body.Range.Offset + body.Range.Length - 1
		q.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", body.Range.Offset, last, body.Info.Size))
		q.w.WriteHeader(http.StatusPartialContent)
	} else {
		q.tellChecksum(body.Info)
	}
	if _, err := io.Copy(q.w, body); err != nil {
		panic(http.ErrAbortHandler) // the answer has begun; cut it
	}
	return nil
}

// parseRange reads "bytes=FIRST-LAST" and "bytes=FIRST-".
func parseRange(s string) (s3.Range, bool) {
	from, to, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	if to == "" {
		return s3.Range{Offset: first, Length: 1<<62 - first}, ok && err1 == nil
	}
	last, err2 := strconv.ParseInt(to, 10, 64)
	return s3.Range{Offset: first, Length: last - first + 1}, ok && err1 == nil && err2 == nil && last >= first
}

// attributes reads those of the object that is written.
func (q *exchange) attributes() s3.Attributes {
	a := s3.Attributes{
		ContentType:        q.header("Content-Type"),
		ContentLanguage:    q.header("Content-Language"),
		ContentDisposition: q.header("Content-Disposition"),
		CacheControl:       q.header("Cache-Control"),
		Expires:            q.header("Expires"),
		WebsiteRedirect:    q.header("X-Amz-Website-Redirect-Location"),
	}
	var encodings []string
	for _, line := range q.Header.Values("Content-Encoding") {
		for e := range strings.SplitSeq(line, ",") {
			if e = strings.TrimSpace(e); e != "aws-chunked" && e != "" {
				encodings = append(encodings, e)
			}
		}
	}
	a.ContentEncoding = strings.Join(encodings, ",")
	for name, values := range q.Header {
		if k, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
			if a.Metadata == nil {
				a.Metadata = map[string]string{}
			}
			a.Metadata[k] = strings.Join(values, ",")
		}
	}
	return a
}

func (q *exchange) putOptions() s3.PutOptions {
	o := s3.PutOptions{
		Attributes: q.attributes(), StorageClass: q.header("X-Amz-Storage-Class"),
		IfMatch: q.header("If-Match"), IfNoneMatch: q.header("If-None-Match"),
	}
	if tags, err := url.ParseQuery(q.header("X-Amz-Tagging")); err == nil && len(tags) > 0 {
		o.Tags = map[string]string{}
		for k := range tags {
			o.Tags[k] = tags.Get(k)
		}
	}
	return o
}

func (q *exchange) put() error {
	if q.header("X-Amz-Copy-Source") != "" {
		return q.copy()
	}
	data, err := q.body()
	if err != nil {
		return err
	}
	info, err := q.bucket.Put(q.Context(), q.key, bytes.NewReader(data), q.putOptions())
	if err != nil {
		return err
	}
	info.StorageClass = ""
	q.tell(info)
	q.tellChecksum(info)
	return nil
}

// source reads what is to be copied.
func (q *exchange) source() (s3.Source, error) {
	path, version, _ := strings.Cut(strings.TrimPrefix(q.header("X-Amz-Copy-Source"), "/"), "?versionId=")
	name, escaped, _ := strings.Cut(path, "/")
	key, err := url.PathUnescape(escaped)
	if err != nil || key == "" {
		return s3.Source{}, refuse(s3.OpCopy, q.key, s3.ErrInvalid, "InvalidArgument", 400)
	}
	src := s3.Source{Key: key, VersionID: version, ETag: q.header("X-Amz-Copy-Source-If-Match")}
	if name != q.name {
		src.Bucket = name
	}
	return src, nil
}

func (q *exchange) copy() error {
	src, err := q.source()
	if err != nil {
		return err
	}
	o := s3.CopyOptions{
		DropTags:     q.header("X-Amz-Tagging-Directive") == "REPLACE",
		StorageClass: q.header("X-Amz-Storage-Class"),
		IfMatch:      q.header("If-Match"), IfNoneMatch: q.header("If-None-Match"),
	}
	if q.header("X-Amz-Metadata-Directive") == "REPLACE" {
		a := q.attributes()
		o.Attributes = &a
	}
	info, err := q.bucket.Copy(q.Context(), src, q.key, o)
	if err != nil {
		return err
	}
	return q.document(copyResult{XMLName: named("CopyObjectResult"), ETag: info.ETag, LastModified: stamp(info.LastModified)})
}

func (q *exchange) delete() error {
	err := q.bucket.Delete(q.Context(), s3.Target{Key: q.key, ETag: q.header("If-Match"), VersionID: q.query.Get("versionId")})
	if err == nil {
		q.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (q *exchange) deleteMany() error {
	var in struct {
		Object []struct{ Key, VersionId, ETag string }
	}
	if err := q.parse(&in); err != nil {
		return err
	}
	if len(in.Object) > s3.MaxDelete {
		return refuse(s3.OpDelete, "", s3.ErrInvalid, "MalformedXML", 400)
	}
	var targets []s3.Target
	for _, o := range in.Object {
		targets = append(targets, s3.Target{Key: o.Key, VersionID: o.VersionId, ETag: o.ETag})
	}
	out := deleteResult{XMLName: named("DeleteResult")}
	err := q.bucket.Delete(q.Context(), targets...)
	var failed *s3.DeleteError
	switch {
	case errors.As(err, &failed):
		for key, err := range failed.Failed {
			e := &s3.Error{}
			errors.As(err, &e)
			out.Error = append(out.Error, deleteFailure{key, cmp.Or(e.Code, "InternalError"), err.Error()})
		}
	case err != nil:
		return err
	}
	return q.document(out)
}

// stamp is a time as S3's documents have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
