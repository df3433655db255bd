package cors

import "strings"

// A pattern is an AllowedOrigin or an AllowedHeader: plain text with at most
// one *, which stands for any text, the empty one included. S3 refuses more
// than one; here everything after the first * is then plain, so that a second
// one matches nothing.

// matches tells whether pattern matches s. Case counts: callers lower both
// sides for headers.
func matches(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

// covers tells whether wide matches everything that narrow does.
func covers(wide, narrow string) bool {
	if !strings.Contains(narrow, "*") {
		return matches(wide, narrow)
	}
	// Whatever narrow's * stands for is between its two ends, so wide's ends
	// must lie within them.
	before, after, _ := strings.Cut(narrow, "*")
	wideBefore, wideAfter, star := strings.Cut(wide, "*")
	return star && strings.HasPrefix(before, wideBefore) && strings.HasSuffix(after, wideAfter)
}

// overlap tells whether some text matches both patterns.
func overlap(a, b string) bool {
	aBefore, aAfter, aStar := strings.Cut(a, "*")
	bBefore, bAfter, bStar := strings.Cut(b, "*")
	switch {
	case !aStar:
		return matches(b, a)
	case !bStar:
		return matches(a, b)
	}
	prefixes := strings.HasPrefix(aBefore, bBefore) || strings.HasPrefix(bBefore, aBefore)
	suffixes := strings.HasSuffix(aAfter, bAfter) || strings.HasSuffix(bAfter, aAfter)
	return prefixes && suffixes
}

// anyCovers tells whether one of wide covers narrow.
func anyCovers(wide []string, narrow string) bool {
	for _, w := range wide {
		if covers(w, narrow) {
			return true
		}
	}
	return false
}

func lower(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToLower(v)
	}
	return out
}
