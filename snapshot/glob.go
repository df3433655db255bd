package snapshot

import (
	"fmt"
	"regexp"
	"strings"
)

// Filter chooses objects by key. In its patterns ? is one character but "/", *
// any run without "/", ** any run at all. A pattern without "/" but at its end
// is about the last part of keys, one with "/" about whole keys; a pattern that
// ends in "/" means everything below. A key is taken if no exclude matches it or
// an include does; with includes alone, if an include matches it.
type Filter struct {
	exclude, include []*regexp.Regexp
}

// NewFilter compiles the patterns. It returns an error for an empty one.
func NewFilter(exclude, include []string) (Filter, error) {
	var f Filter
	for _, list := range []struct {
		globs []string
		to    *[]*regexp.Regexp
	}{{exclude, &f.exclude}, {include, &f.include}} {
		for _, glob := range list.globs {
			if glob == "" {
				return Filter{}, fmt.Errorf("an empty pattern matches nothing")
			}
			*list.to = append(*list.to, compileGlob(glob))
		}
	}
	return f, nil
}

// Match says whether the object is to be taken.
func (f Filter) Match(key string) bool {
	if matchAny(f.include, key) {
		return true
	}
	return !matchAny(f.exclude, key) && (len(f.include) == 0 || len(f.exclude) > 0)
}

func matchAny(patterns []*regexp.Regexp, key string) bool {
	for _, p := range patterns {
		if p.MatchString(key) {
			return true
		}
	}
	return false
}

func compileGlob(glob string) *regexp.Regexp {
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	if !strings.Contains(strings.TrimSuffix(glob, "/"), "/") {
		re.WriteString(`(?:.*/)?`)
	}
	for rest := strings.TrimPrefix(glob, "/"); rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**/"): // also none: **/x is x, too
			re.WriteString(`(?:.*/)?`)
			rest = rest[3:]
		case strings.HasPrefix(rest, "**"):
			re.WriteString(`.*`)
			rest = rest[2:]
		case rest[0] == '*':
			re.WriteString(`[^/]*`)
			rest = rest[1:]
		case rest[0] == '?':
			re.WriteString(`[^/]`)
			rest = rest[1:]
		default:
			n := strings.IndexAny(rest, "*?")
			if n < 0 {
				n = len(rest)
			}
			re.WriteString(regexp.QuoteMeta(rest[:n]))
			rest = rest[n:]
		}
	}
	if strings.HasSuffix(glob, "/") {
		re.WriteString(`.*`)
	}
	re.WriteString(`\z`)
	return regexp.MustCompile(re.String()) // cannot fail: everything of the pattern is quoted
}
