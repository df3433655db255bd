package s3test

import (
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Server serves a bucket by S3's protocol, so that a client can be tested with
// everything that S3 allows, also what a server over a file system cannot hold.
// It knows the operations of package s3 in path style, and no signatures.
type Server struct {
	Name   string // of the bucket
	Bucket s3.Bucket
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	key, err := url.PathUnescape(rest)
	switch {
	case err != nil:
		err = refuse("", rest, s3.ErrInvalid, "InvalidURI", 400)
	case name != s.Name:
		err = refuse("", "", s3.ErrNoBucket, "NoSuchBucket", 404)
	default:
		q := &exchange{Request: r, w: w, bucket: s.Bucket, name: s.Name, key: key, query: r.URL.Query()}
		err = q.route()
	}
	if err != nil {
		writeError(w, r, err)
	}
}

// exchange is one request and its answer.
type exchange struct {
	*http.Request
	w      http.ResponseWriter
	bucket s3.Bucket
	name   string // of the bucket
	key    string
	query  url.Values
}

// route finds the operation by the method, the path and the query.
func (q *exchange) route() error {
	level := "bucket"
	if q.key != "" {
		level = "object"
	}
	for _, sub := range []string{"uploadId", "uploads", "delete", "cors", "tagging", "versioning", "versions", "policy"} {
		if q.query.Has(sub) && !(sub == "uploadId" && level == "bucket") {
			level += "?" + sub
			break
		}
	}
	op, ok := map[string]func(*exchange) error{
		"GET bucket":             (*exchange).list,
		"HEAD bucket":            func(*exchange) error { return nil },
		"POST bucket?delete":     (*exchange).deleteMany,
		"GET bucket?uploads":     (*exchange).listUploads,
		"GET bucket?cors":        (*exchange).getCORS,
		"PUT bucket?cors":        (*exchange).putCORS,
		"DELETE bucket?cors":     (*exchange).deleteCORS,
		"GET bucket?versioning":  (*exchange).getVersioning,
		"PUT bucket?versioning":  (*exchange).putVersioning,
		"GET bucket?versions":    (*exchange).listVersions,
		"HEAD object":            (*exchange).head,
		"GET object":             (*exchange).get,
		"PUT object":             (*exchange).put,
		"DELETE object":          (*exchange).delete,
		"GET object?tagging":     (*exchange).getTags,
		"PUT object?tagging":     (*exchange).putTags,
		"POST object?uploads":    (*exchange).newUpload,
		"GET object?uploadId":    (*exchange).listParts,
		"PUT object?uploadId":    (*exchange).part,
		"POST object?uploadId":   (*exchange).complete,
		"DELETE object?uploadId": (*exchange).abort,
	}[q.Method+" "+level]
	if !ok {
		return refuse("", q.key, s3.ErrUnsupported, "NotImplemented", 501)
	}
	return op(q)
}

// writeError answers with S3's error document, which a HEAD has not.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := &s3.Error{Code: "InternalError", Status: 500, Kind: err}
	errors.As(err, &e)
	status := cmp.Or(e.Status, 500)
	w.Header().Set("X-Amz-Request-Id", "test")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead && status != http.StatusNotModified {
		_ = xml.NewEncoder(w).Encode(errorDocument{Code: e.Code, Message: e.Kind.Error(), Key: xmlText(e.Key)})
	}
}

type errorDocument struct {
	XMLName       xml.Name `xml:"Error"`
	Code, Message string
	Key           string `xml:",omitempty"`
}

// xmlText drops what XML cannot hold.
func xmlText(s string) string { return strings.ToValidUTF8(s, "?") }

// document answers with an XML document.
func (q *exchange) document(v any) error {
	data, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(q.w, xml.Header+string(data)) // a client that is gone does not mind
	return nil
}

// parse reads the request's XML document.
func (q *exchange) parse(v any) error {
	data, err := q.body()
	if err != nil {
		return err
	}
	if xml.Unmarshal(data, v) != nil {
		return refuse("", q.key, s3.ErrInvalid, "MalformedXML", 400)
	}
	return nil
}

func (q *exchange) header(name string) string { return q.Header.Get(name) }

func (q *exchange) number(name string) int {
	n, _ := strconv.Atoi(q.query.Get(name)) // 0 is what was not said
	return n
}

// encode writes a key as the listing was asked to.
func (q *exchange) encode(key string) string {
	if q.query.Get("encoding-type") == "url" {
		return url.QueryEscape(key)
	}
	return key
}
