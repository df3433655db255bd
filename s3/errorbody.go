package s3

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
)

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
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failingReader{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), resp.Body}

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
