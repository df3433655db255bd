package s3

import (
	"encoding/base64"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

// Metadata travels in HTTP headers, which carry printable ASCII. Anything else
// is written as an encoded word (RFC 2047), the form in which S3 itself gives
// such values back.

// encodeMetadata returns the headers for m, or what is wrong with it.
func encodeMetadata(m map[string]string) (map[string]string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if !isToken(k) {
			return nil, fmt.Errorf("metadata key %q cannot be an HTTP header", k)
		}
		out[strings.ToLower(k)] = encodeValue(v)
	}
	return out, nil
}

func encodeValue(v string) string {
	plain := v == strings.TrimSpace(v) && !strings.Contains(v, "=?")
	for i := 0; plain && i < len(v); i++ {
		plain = v[i] >= ' ' && v[i] < 0x7f
	}
	if plain {
		return v
	}
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
}

// decodeMetadata is the opposite. What it does not understand stays as it is.
func decodeMetadata(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = decodeValue(v)
	}
	return out
}

func decodeValue(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	decoder := mime.WordDecoder{}
	if text, err := decoder.DecodeHeader(v); err == nil {
		return text
	}
	return v
}

// isToken says whether s can be a part of a header's name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// checkHeaders refuses attributes that cannot be HTTP headers.
func checkHeaders(a Attributes) error {
	for _, v := range []string{
		a.ContentType, a.ContentEncoding, a.ContentLanguage, a.ContentDisposition, a.CacheControl, a.Expires, a.WebsiteRedirect,
	} {
		if !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("attribute %q cannot be an HTTP header", v)
		}
	}
	return nil
}
