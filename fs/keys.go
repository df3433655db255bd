package fs

import (
	"strings"
	"unicode/utf8"
)

// Names and keys.
//
// A key is cut at its slashes into parts, and a part is the name of a file or
// directory wherever it can be one. What a path cannot say is escaped:
//
//	@s3:TEXT  the part TEXT, where it is empty, "." or "..", not UTF-8, holds a
//	          NUL, or begins with "@s3" itself
//	@s3!TEXT  the object TEXT exactly: beside a directory of the same name, or
//	          ending in the symlink suffix while its name is taken
//	@s3+TEXT  a directory that stands for the first bytes TEXT of parts longer
//	          than a name may be; the rest of the part is the name inside it
//
// In TEXT the bytes "%" and NUL, and those that are not UTF-8, are written %XX.
// Every key has exactly one name, and every name means at most one key: a name
// that is not what [nameParts] would write is refused.
const (
	escapeMark = "@s3"
	escPart    = escapeMark + ":"
	escObject  = escapeMark + "!"
	escLong    = escapeMark + "+"

	// linkSuffix marks a symbolic link, whose target is the object's content.
	// It is rclone's convention (--links), the only one in the field that a
	// listing alone can show.
	linkSuffix = ".rclonelink"

	maxName = 255 // bytes; NAME_MAX of Linux

	// maxChunk keeps an escaped piece of a long part within maxName.
	maxChunk = maxName - len(escLong)
)

// form says how a name was written.
type form int

const (
	formPart   form = iota // a part: file, directory or link
	formObject             // exactly this object
	formLong               // the beginning of a long part
)

// parseName undoes the escape of one name. It reports false for a name that
// no key part is shown under.
func parseName(name string) (part string, f form, ok bool) {
	if !strings.HasPrefix(name, escapeMark) {
		return name, formPart, isPlain(name)
	}
	for _, e := range []struct {
		prefix string
		form   form
	}{{escPart, formPart}, {escObject, formObject}, {escLong, formLong}} {
		text, found := strings.CutPrefix(name, e.prefix)
		if !found {
			continue
		}
		part, ok := unescape(text)
		ok = ok && e.prefix+escapeText(part) == name
		if e.form == formPart {
			ok = ok && !isPlain(part)
		}
		return part, e.form, ok
	}
	return "", formPart, false
}

// isPlain reports whether a part is its own name.
func isPlain(part string) bool {
	return part != "" && part != "." && part != ".." && len(part) <= maxName &&
		!strings.HasPrefix(part, escapeMark) && utf8.ValidString(part) && strings.IndexByte(part, 0) < 0
}

// partName is the name of a part that is short enough.
func partName(part string) string {
	if isPlain(part) {
		return part
	}
	return escPart + escapeText(part)
}

func objectName(part string) string { return escObject + escapeText(part) }
func longName(chunk string) string  { return escLong + escapeText(chunk) }

// chunks cuts a part into pieces that each fit a name: all but the last become
// directories of the @s3+ kind. Nearly always there is just one.
func chunks(part string) []string {
	if len(partName(part)) <= maxName {
		return []string{part}
	}
	var out []string
	for len(part) > maxChunk || len(escapeText(part)) > maxChunk {
		n := chunkLength(part)
		out = append(out, part[:n])
		part = part[n:]
	}
	return append(out, part)
}

// chunkLength is how many bytes of part fit escaped into maxChunk, leaving at
// least one for the last piece.
func chunkLength(part string) int {
	n, width := 0, 0
	for n < len(part)-1 {
		r, size := utf8.DecodeRuneInString(part[n:])
		w := size
		if escapes(r, size, part[n]) {
			w = 3
		}
		if width+w > maxChunk || n+size > len(part)-1 {
			break
		}
		n, width = n+size, width+w
	}
	return max(n, 1)
}

func escapes(r rune, size int, b byte) bool {
	return b == '%' || b == 0 || b == '/' || (r == utf8.RuneError && size == 1)
}

func escapeText(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if escapes(r, size, s[i]) {
			b.WriteByte('%')
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
			i++
			continue
		}
		b.WriteString(s[i : i+size])
		i += size
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte("0123456789ABCDEF", s[i+1]), strings.IndexByte("0123456789ABCDEF", s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), true
}
