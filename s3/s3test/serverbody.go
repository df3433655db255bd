package s3test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"io"
	"strconv"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// body reads and checks the request's body: its length, and the checksums that
// come with it.
func (q *exchange) body() ([]byte, error) {
	data, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, refuse("", q.key, s3.ErrUnavailable, "RequestTimeout", 400)
	}
	sum := q.header("X-Amz-Checksum-Crc64nvme")
	if strings.Contains(strings.Join(q.Header.Values("Content-Encoding"), ","), "aws-chunked") {
		var trailer string
		if data, trailer, err = dechunk(data); err != nil {
			return nil, refuse("", q.key, s3.ErrCorrupt, "IncompleteBody", 400)
		}
		if name, value, _ := strings.Cut(trailer, ":"); strings.EqualFold(name, "x-amz-checksum-crc64nvme") {
			sum = strings.TrimSpace(value)
		}
	}
	if sum != "" && "crc64nvme:"+sum != (segments{data}).crc64nvme() {
		return nil, refuse("", q.key, s3.ErrCorrupt, "BadDigest", 400)
	}
	if want := q.header("Content-Md5"); want != "" {
		if got := md5.Sum(data); base64.StdEncoding.EncodeToString(got[:]) != want {
			return nil, refuse("", q.key, s3.ErrCorrupt, "BadDigest", 400)
		}
	}
	return data, nil
}

// dechunk decodes the aws-chunked encoding: each chunk with its length in hex
// before it, and trailers after the last, which is empty.
func dechunk(data []byte) (content []byte, trailer string, err error) {
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, "", io.ErrUnexpectedEOF
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseUint(size, 16, 32)
		if err != nil {
			return nil, "", err
		}
		if n == 0 {
			rest, err := io.ReadAll(r)
			return content, strings.TrimSpace(string(rest)), err
		}
		chunk := make([]byte, n+2) // and the line's end
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, "", err
		}
		content = append(content, chunk[:n]...)
	}
}
