package faults

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// answer makes a response of the server's with an S3 error in it.
func answer(r *http.Request, status int, code string) *http.Response {
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made by the test</Message></Error>`, code)
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	header := http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {"TESTREQUEST"}}
	if r.Method == http.MethodHead {
		body = ""
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// cut makes a body fail after n bytes.
func cut(body io.ReadCloser, n int64) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, n), broken{}), body}
}

// broken is where a connection broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
