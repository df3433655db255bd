package cors

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// JSON prints rules exactly as "aws s3api get-bucket-cors" does: members in the
// order of the API's model, four spaces, nothing escaped that JSON doesn't
// demand, a newline at the end.
func JSON(rules []Rule) []byte {
	var b strings.Builder
	b.WriteString("{\n    \"CORSRules\": [")
	for i, r := range rules {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n        {")
		writeMembers(&b, r)
		b.WriteString("\n        }")
	}
	if len(rules) > 0 {
		b.WriteString("\n    ")
	}
	b.WriteString("]\n}\n")
	return []byte(b.String())
}

func writeMembers(b *strings.Builder, r Rule) {
	separator := ""
	member := func(name string) {
		fmt.Fprintf(b, "%s\n            %q: ", separator, name)
		separator = ","
	}
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		member(name)
		b.WriteByte('[')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n                ")
			writeString(b, v)
		}
		b.WriteString("\n            ]")
	}
	if r.ID != "" {
		member("ID")
		writeString(b, r.ID)
	}
	list("AllowedHeaders", r.AllowedHeaders)
	list("AllowedMethods", r.AllowedMethods)
	list("AllowedOrigins", r.AllowedOrigins)
	list("ExposeHeaders", r.ExposeHeaders)
	if r.MaxAgeSeconds != nil {
		member("MaxAgeSeconds")
		fmt.Fprintf(b, "%d", *r.MaxAgeSeconds)
	}
}

// writeString quotes as Python's json module does with ensure_ascii off.
// encoding/json also escapes U+2028 and U+2029.
func writeString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < ' ':
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}

// YAML prints rules as a YAML document that Parse reads, one value on a line
// and nothing that a terminal would take for a command, members in the order
// people think: who may do what, with which headers.
func YAML(rules []Rule) []byte {
	if len(rules) == 0 {
		return []byte("CORSRules: []\n")
	}
	var b strings.Builder
	b.WriteString("CORSRules:\n")
	for _, r := range rules {
		writeYAMLRule(&b, r)
	}
	return []byte(b.String())
}

func writeYAMLRule(b *strings.Builder, r Rule) {
	lead := "  - "
	member := func(name, value string) {
		fmt.Fprintf(b, "%s%s:%s\n", lead, name, value)
		lead = "    "
	}
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		member(name, "")
		for _, v := range values {
			fmt.Fprintf(b, "      - %s\n", yamlString(v))
		}
	}
	if r.ID != "" {
		member("ID", " "+yamlString(r.ID))
	}
	list("AllowedOrigins", r.AllowedOrigins)
	list("AllowedMethods", r.AllowedMethods)
	list("AllowedHeaders", r.AllowedHeaders)
	list("ExposeHeaders", r.ExposeHeaders)
	if r.MaxAgeSeconds != nil {
		member("MaxAgeSeconds", fmt.Sprintf(" %d", *r.MaxAgeSeconds))
	}
	if lead == "  - " {
		b.WriteString("  - {}\n")
	}
}

// yamlPlain is what needs no quotes anywhere in YAML, but for null.
var yamlPlain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._:/-]*[A-Za-z0-9]$`)

func yamlString(s string) string {
	if yamlPlain.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	return strconv.Quote(s) // every escape of Go's is one of YAML's
}

// Show is s as it may be printed to a terminal: as it is, or quoted if it has
// anything in it that isn't plainly visible.
func Show(s string) string {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsGraphic(c) }) {
		return strconv.Quote(s)
	}
	return s
}
