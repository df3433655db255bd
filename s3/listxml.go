package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Pages of listings are parsed here instead of by the SDK, which takes sixty
// allocations and eight microseconds for each key: of ten million objects,
// which snapshots are made for, a quarter of an hour.

// listing is the document that ListObjectsV2 answers with, not yet decoded or
// checked.
type listing struct {
	root      string // name of the root element; the rest is only of "ListBucketResult"
	encoding  string
	truncated string
	next      string
	objects   []Object
	prefixes  []string
}

// parseListing parses a document. It is strict about what it reads and ignores
// elements that it does not know.
func parseListing(data []byte) (*listing, error) {
	l := &listing{}
	s := xmlScanner{data: data}
	var path []string
	var text []byte
	for {
		token, err := s.next()
		if err == io.EOF && len(path) == 0 && l.root != "" {
			return l, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parsing the listing at byte %d: %w", s.pos, noEOF(err))
		}
		switch token.kind {
		case xmlText:
			if len(path) == 0 && len(bytes.TrimSpace(token.text)) > 0 {
				return nil, errNotS3
			}
			if text, err = appendUnescaped(text, token.text, token.raw); err != nil {
				return nil, fmt.Errorf("parsing the listing at byte %d: %w", s.pos, err)
			}
		case xmlStart:
			text = text[:0]
			if len(path) == 0 && l.root != "" {
				return nil, errors.New("parsing the listing: a second root element")
			}
			if path = append(path, token.name); len(path) == 1 {
				l.root = token.name
			}
			l.begin(path)
		case xmlEnd:
			if len(path) == 0 || path[len(path)-1] != token.name {
				return nil, fmt.Errorf("parsing the listing at byte %d: </%s> closes nothing", s.pos, token.name)
			}
			if err := l.end(path, text); err != nil {
				return nil, fmt.Errorf("parsing the listing at byte %d: %w", s.pos, err)
			}
			path, text = path[:len(path)-1], text[:0]
		}
	}
}

// noEOF is err, but that an end in the middle is unexpected.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin takes note of an element that begins.
func (l *listing) begin(path []string) {
	if len(path) != 2 {
		return
	}
	switch path[1] {
	case "Contents":
		if l.objects == nil {
			l.objects = make([]Object, 0, MaxPage)
		}
		l.objects = append(l.objects, Object{})
	case "CommonPrefixes":
		l.prefixes = append(l.prefixes, "")
	}
}

// end takes over the text of an element that ends.
func (l *listing) end(path []string, text []byte) error {
	switch {
	case len(path) == 2:
		switch path[1] {
		case "EncodingType":
			l.encoding = string(text)
		case "IsTruncated":
			l.truncated = string(text)
		case "NextContinuationToken":
			l.next = string(text)
		}
	case len(path) == 3 && path[1] == "Contents":
		return l.objects[len(l.objects)-1].set(path[2], text)
	case len(path) == 3 && path[1] == "CommonPrefixes" && path[2] == "Prefix":
		l.prefixes[len(l.prefixes)-1] = string(text)
	}
	return nil
}

// set takes over one element of an entry.
func (o *Object) set(name string, text []byte) (err error) {
	switch name {
	case "Key":
		o.Key = string(text)
	case "ETag":
		o.ETag = string(text)
	case "Size":
		o.Size, err = strconv.ParseInt(string(text), 10, 64)
	case "LastModified":
		o.LastModified, err = time.Parse(time.RFC3339Nano, string(text))
	case "StorageClass":
		if string(text) != "STANDARD" {
			o.StorageClass = string(text)
		}
	}
	return err
}

// xmlScanner cuts a document into tags and text. It knows as much of XML as S3
// servers write: no document type, and so no entities but the predefined ones.
type xmlScanner struct {
	data []byte
	pos  int
	open string // name of the empty-element tag whose end comes next
}

type xmlToken struct {
	kind xmlKind
	name string // of a tag, without its namespace prefix
	text []byte
	raw  bool // text from a CDATA section, which has no escapes
}

type xmlKind int

const (
	xmlText xmlKind = iota
	xmlStart
	xmlEnd
)

// next returns the next token, or io.EOF, in the middle of a tag as well.
func (s *xmlScanner) next() (xmlToken, error) {
	if s.open != "" {
		token := xmlToken{kind: xmlEnd, name: s.open}
		s.open = ""
		return token, nil
	}
	for {
		rest := s.data[s.pos:]
		switch {
		case len(rest) == 0:
			return xmlToken{}, io.EOF
		case rest[0] != '<':
			n := bytes.IndexByte(rest, '<')
			if n < 0 {
				n = len(rest)
			}
			s.pos += n
			return xmlToken{text: rest[:n]}, nil
		case bytes.HasPrefix(rest, []byte("<?")):
			if _, err := s.until("?>"); err != nil {
				return xmlToken{}, err
			}
		case bytes.HasPrefix(rest, []byte("<!--")):
			if _, err := s.until("-->"); err != nil {
				return xmlToken{}, err
			}
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			text, err := s.until("]]>")
			return xmlToken{text: bytes.TrimPrefix(text, []byte("<![CDATA[")), raw: true}, err
		case bytes.HasPrefix(rest, []byte("<!")):
			return xmlToken{}, errNotS3 // a document type: a web page
		default:
			tag, err := s.until(">")
			if err != nil {
				return xmlToken{}, err
			}
			return s.tag(tag[1:])
		}
	}
}

// until moves behind the next end and returns what is before it.
func (s *xmlScanner) until(end string) ([]byte, error) {
	rest := s.data[s.pos:]
	n := bytes.Index(rest, []byte(end))
	if n < 0 {
		return nil, io.EOF
	}
	s.pos += n + len(end)
	return rest[:n], nil
}

// tag parses what is between the angle brackets. Attributes are skipped; none
// of S3's has a ">" in it.
func (s *xmlScanner) tag(text []byte) (xmlToken, error) {
	token := xmlToken{kind: xmlStart}
	if len(text) > 0 && text[0] == '/' {
		token.kind, text = xmlEnd, text[1:]
	}
	empty := len(text) > 0 && text[len(text)-1] == '/'
	if empty {
		text = text[:len(text)-1]
	}
	name, ok := localName(text)
	if !ok || empty && token.kind == xmlEnd {
		return token, errors.New("a tag without a name")
	}
	token.name = tagName(name)
	if empty {
		s.open = token.name
	}
	return token, nil
}

// localName returns the name that a tag begins with, without its prefix.
func localName(tag []byte) ([]byte, bool) {
	start, end := 0, len(tag)
scan:
	for i, c := range tag {
		switch c {
		case ' ', '\t', '\r', '\n':
			end = i
			break scan
		case ':':
			start = i + 1
		case '<', '&', '"', '\'', '=', '/':
			return nil, false
		}
	}
	return tag[start:end], start < end
}

// tagName is string(name), without an allocation for those of every entry.
func tagName(name []byte) string {
	switch string(name) {
	case "Contents":
		return "Contents"
	case "Key":
		return "Key"
	case "LastModified":
		return "LastModified"
	case "ETag":
		return "ETag"
	case "Size":
		return "Size"
	case "StorageClass":
		return "StorageClass"
	case "CommonPrefixes":
		return "CommonPrefixes"
	case "Prefix":
		return "Prefix"
	}
	return string(name)
}

// appendUnescaped appends text to dst, with its escapes resolved unless it is
// raw, and each end of a line as XML wants it.
func appendUnescaped(dst, text []byte, raw bool) ([]byte, error) {
	for len(text) > 0 {
		n := bytes.IndexAny(text, "&\r")
		if n < 0 {
			return append(dst, text...), nil
		}
		dst = append(dst, text[:n]...)
		if text = text[n:]; text[0] == '\r' {
			dst = append(dst, '\n')
			text = bytes.TrimPrefix(text[1:], []byte("\n"))
			continue
		}
		if raw {
			dst, text = append(dst, '&'), text[1:]
			continue
		}
		end := bytes.IndexByte(text, ';')
		if end < 0 {
			return nil, errors.New("an escape without an end")
		}
		var err error
		if dst, err = appendEscape(dst, string(text[1:end])); err != nil {
			return nil, err
		}
		text = text[end+1:]
	}
	return dst, nil
}

// appendEscape appends what the escape with that name, such as "amp" or "#13",
// stands for.
func appendEscape(dst []byte, name string) ([]byte, error) {
	switch name {
	case "amp":
		return append(dst, '&'), nil
	case "lt":
		return append(dst, '<'), nil
	case "gt":
		return append(dst, '>'), nil
	case "quot":
		return append(dst, '"'), nil
	case "apos":
		return append(dst, '\''), nil
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if !ok || err != nil || n > utf8.MaxRune {
		return nil, fmt.Errorf("an unknown escape %q", name)
	}
	return utf8.AppendRune(dst, rune(n)), nil
}
