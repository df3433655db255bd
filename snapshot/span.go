package snapshot

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cgs3fs/cgs3fs/s3"
)

// span is the keys in (after, through]; an empty through is the end of the key
// space. So the zero span is the whole of it.
type span struct{ after, through string }

func (s span) contains(key string) bool {
	return key > s.after && (s.through == "" || key <= s.through)
}

// below is the span of all keys that begin with prefix, but for prefix itself:
// no tool-made key has U+10FFFF, a code point that stands for no character,
// right after a prefix.
func below(prefix string) span {
	return span{after: prefix, through: prefix + string(utf8.MaxRune)}
}

func belowAll(prefixes []string) []span {
	spans := make([]span, len(prefixes))
	for i, prefix := range prefixes {
		spans[i] = below(prefix)
	}
	return spans
}

// gaps returns what of the key space the given spans, which may overlap, leave
// out, in order.
func gaps(covered []span) []span {
	covered = slices.Clone(covered)
	slices.SortFunc(covered, func(a, b span) int { return strings.Compare(a.after, b.after) })
	var left []span
	reached := ""
	for _, c := range covered {
		if c.after > reached {
			left = append(left, span{reached, c.after})
		}
		if c.through == "" {
			return left
		}
		reached = max(reached, c.through)
	}
	return append(left, span{after: reached})
}

// overlap finds two of the spans that share keys.
func overlap(spans []span) (a, b span, found bool) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return strings.Compare(a.after, b.after) })
	for i := 1; i < len(spans); i++ {
		if before := spans[i-1].through; before == "" || spans[i].after < before {
			return spans[i-1], spans[i], true
		}
	}
	return span{}, span{}, false
}

// startAfter makes key fit to begin a listing after: not longer than keys may be
// and not cut within a character. It is never after key, so the listing may
// begin with keys up to key, which the reader skips.
func startAfter(key string) string {
	if len(key) <= s3.MaxKeyLength {
		return key
	}
	cut := s3.MaxKeyLength
	for cut > 0 && !utf8.RuneStart(key[cut]) {
		cut--
	}
	return key[:cut]
}
