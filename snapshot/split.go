package snapshot

import (
	"unicode/utf8"
)

// asciiEnd is taken as the end of the alphabet beside an ASCII character: most
// keys are ASCII, and the middle of what they use is a better guess than the
// middle of Unicode.
const asciiEnd = 0x80

// midpoint returns a string between lo and hi, about halfway, that is valid
// UTF-8 as these must be; an empty hi is the end of the key space. There may be none that
// is worth having; then ok is false.
func midpoint(lo, hi string) (mid string, ok bool) {
	if !utf8.ValidString(lo) || !utf8.ValidString(hi) {
		return "", false // servers refuse to begin a listing after such a key, and it has no middle
	}
	at := commonRunes(lo, hi)
	a, size := firstRune(lo[at:])
	b := rune(asciiEnd)
	if hi != "" {
		b, _ = firstRune(hi[at:])
	} else if a >= asciiEnd {
		b = utf8.MaxRune
	}
	if a < asciiEnd {
		b = min(b, asciiEnd)
	}
	if m := middleRune(a, b); m > a && m < b {
		return lo[:at] + string(m), true
	}
	if size == 0 {
		return "", false
	}
	deeper, ok := midpoint(lo[at+size:], "")
	return lo[:at+size] + deeper, ok
}

// firstRune returns the first character of s. Before the end of a string stands
// what is just below the space, so that control characters, which keys seldom
// have, do not draw the middle down.
func firstRune(s string) (r rune, size int) {
	if s == "" {
		return ' ' - 1, 0
	}
	return utf8.DecodeRuneInString(s)
}

func middleRune(a, b rune) rune {
	m := a + (b-a)/2
	if m >= 0xd800 && m <= 0xdfff { // surrogates are no characters
		return 0xd7ff
	}
	return m
}

// commonRunes is the length in bytes of the longest common prefix of a and b
// that ends between characters.
func commonRunes(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && n < len(a) && !utf8.RuneStart(a[n]) {
		n--
	}
	return n
}

// beyond returns the least string, or nearly, that is after all keys which agree
// with key up to and with its character at byte at. ok is false if that
// character is the last there is.
func beyond(key string, at int) (string, bool) {
	r, _ := firstRune(key[at:])
	if r >= utf8.MaxRune {
		return "", false
	}
	if r++; r == 0xd800 {
		r = 0xe000
	}
	return key[:at] + string(r), true
}

// runeStarts returns where the characters of s begin.
func runeStarts(s string) []int {
	var starts []int
	for i := range s {
		starts = append(starts, i)
	}
	return starts
}
