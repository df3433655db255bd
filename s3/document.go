package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// roots is what S3 answers when an operation succeeds: the root element of the
// document, or "" for none. The SDK takes anything: a proxy's web page, or
// nothing at all, would be an empty listing, and a Delete that succeeded.
var roots = map[string]string{
	OpList:           "ListBucketResult",
	OpCopy:           "CopyObjectResult",
	OpDelete:         "DeleteResult",
	OpNewUpload:      "InitiateMultipartUploadResult",
	OpListParts:      "ListPartsResult",
	OpListUploads:    "ListMultipartUploadsResult",
	OpCopyPart:       "CopyPartResult",
	OpCompleteUpload: "CompleteMultipartUploadResult",
	OpGetCORS:        "CORSConfiguration",
	OpGetTags:        "Tagging",
	OpGetVersioning:  "VersioningConfiguration",
	OpListVersions:   "ListVersionsResult",
	OpPart:           "",
	OpPut:            "",
	OpAbortUpload:    "",
	OpPutCORS:        "",
	OpDeleteCORS:     "",
	OpPutTags:        "",
	OpPutVersioning:  "",
	"DeleteObject":   "",
}

var errNotS3 = errors.New("the answer is not one of S3's")

// checkDocument reads the start of an answer of success and leaves the body as
// it was. A document that tells of an error after all becomes one.
func checkDocument(op string, resp *http.Response) error {
	want, known := roots[op]
	if !known {
		return nil
	}
	var seen bytes.Buffer
	body := io.TeeReader(resp.Body, &seen)
	got, err := rootElement(body)
	if err != nil && err != io.EOF {
		return err
	}
	resp.Body = rejoined(&seen, resp.Body)
	switch {
	case got == want:
		return nil
	case got == "Error":
		resp.StatusCode = http.StatusInternalServerError
		return nil
	case got == "":
		return fmt.Errorf("%w: it is empty", errNotS3)
	}
	return fmt.Errorf("%w: it is a document %q", errNotS3, got)
}

// rootElement returns the name of a document's root, "" for an empty document,
// or "text" for what is no document.
func rootElement(r io.Reader) (string, error) {
	decoder := xml.NewDecoder(r)
	decoder.Strict = false
	for {
		token, err := decoder.RawToken()
		switch token := token.(type) {
		case xml.StartElement:
			return token.Name.Local, nil
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return "text", nil
			}
		}
		if syntax := (*xml.SyntaxError)(nil); errors.As(err, &syntax) {
			return "text", nil
		}
		if err != nil {
			return "", err
		}
	}
}

// rejoined is a body of which the start has been read already.
func rejoined(start io.Reader, rest io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(start, rest), rest}
}

// Headers that carry facts of an error document that the SDK does not keep.
const (
	headerRegion    = "X-Amz-Bucket-Region" // S3's own, where it sends it
	headerCondition = "X-Cgs3fs-Condition"
)

// maxErrorBody is how much of an error document is looked at, in bytes.
const maxErrorBody = 64 << 10

// liftErrorFacts reads the start of an error document and leaves the body as it
// was. It adds what AuthorizationHeaderMalformed says about the region, and
// PreconditionFailed about the condition, to the headers.
func liftErrorFacts(resp *http.Response) {
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var seen io.Reader = bytes.NewReader(start)
	if err != nil {
		seen = io.MultiReader(seen, failingReader{err})
	}
	resp.Body = rejoined(seen, resp.Body)

	resp.Header.Del(headerCondition)
	var facts struct {
		Region    string `xml:"Region"`
		Condition string `xml:"Condition"`
	}
	if xml.Unmarshal(start, &facts) != nil {
		return
	}
	if facts.Region != "" && resp.Header.Get(headerRegion) == "" {
		resp.Header.Set(headerRegion, facts.Region)
	}
	if facts.Condition != "" {
		resp.Header.Set(headerCondition, facts.Condition)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
