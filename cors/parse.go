package cors

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxInput is the longest document, in bytes, that Parse reads. S3 stores at
// most MaxDocument of XML; comments and indentation may add to that.
const MaxInput = 1 << 20

// SyntaxError is a document that isn't a CORS configuration. Its text fits on
// one line.
type SyntaxError struct {
	Line int // from 1; 0 if it is the document as a whole
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

func syntaxError(line int, format string, args ...any) error {
	text := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	return &SyntaxError{Line: line, Text: text}
}

// Parse reads the document that "aws s3api put-bucket-cors" takes and
// "get-bucket-cors" prints, {"CORSRules": [...]}, or only its list of rules as
// the S3 console shows it, in JSON or YAML. It checks the form; [Lint] checks
// what the rules say. Errors are *SyntaxError.
func Parse(doc []byte) ([]Rule, error) {
	if len(doc) > MaxInput {
		return nil, syntaxError(0, "document of %d bytes is too long for CORS rules", len(doc))
	}
	doc = bytes.TrimPrefix(doc, []byte("\ufeff")) // which Windows editors add
	if !utf8.Valid(doc) {
		return nil, syntaxError(0, "not UTF-8 text")
	}
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, syntaxError(0, "the document is empty")
	}
	if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("<")) {
		return nil, syntaxError(0, "this is XML; write the rules as JSON or YAML")
	}
	top, err := readTree(doc)
	if err != nil {
		return nil, err
	}
	return configuration(top)
}

func configuration(top node) ([]Rule, error) {
	switch top.kind {
	case kindList:
		return rules(top)
	case kindObject:
		var out []Rule
		err := eachField(top, "the document", []string{"CORSRules"}, func(f field) error {
			if f.value.kind != kindList {
				return syntaxError(f.line, "CORSRules wants a list of rules, not %v", f.value.kind)
			}
			var err error
			out, err = rules(f.value)
			return err
		})
		if err == nil && len(top.fields) == 0 {
			err = syntaxError(top.line, `"CORSRules" is missing`)
		}
		return out, err
	default:
		return nil, syntaxError(top.line, `the document must be {"CORSRules": [...]}`)
	}
}

func rules(list node) ([]Rule, error) {
	out := make([]Rule, 0, len(list.items))
	for _, item := range list.items {
		if item.kind != kindObject {
			return nil, syntaxError(item.line, "a rule must be an object, not %v", item.kind)
		}
		r, err := rule(item)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

var ruleFields = []string{"ID", "AllowedHeaders", "AllowedMethods", "AllowedOrigins", "ExposeHeaders", "MaxAgeSeconds"}

func rule(n node) (Rule, error) {
	var r Rule
	err := eachField(n, "a rule", ruleFields, func(f field) (err error) {
		switch f.name {
		case "ID":
			r.ID, err = text(f.name, f.value)
		case "AllowedHeaders":
			r.AllowedHeaders, err = texts(f)
		case "AllowedMethods":
			r.AllowedMethods, err = texts(f)
		case "AllowedOrigins":
			r.AllowedOrigins, err = texts(f)
		case "ExposeHeaders":
			r.ExposeHeaders, err = texts(f)
		case "MaxAgeSeconds":
			r.MaxAgeSeconds, err = seconds(f)
		}
		return err
	})
	return r, err
}

// eachField calls use for every field and refuses unknown and repeated ones: a
// misspelt name that is passed over would change what the rules allow.
func eachField(n node, where string, known []string, use func(field) error) error {
	seen := map[string]bool{}
	for _, f := range n.fields {
		if !slices.Contains(known, f.name) {
			return syntaxError(f.line, "unknown field %q in %s%s", f.name, where, suggestion(f.name, known))
		}
		if seen[f.name] {
			return syntaxError(f.line, "%s is given twice", f.name)
		}
		seen[f.name] = true
		if err := use(f); err != nil {
			return err
		}
	}
	return nil
}

// suggestion offers the field that was probably meant: the name in another
// case, in the XML document's singular, or by its telling word.
func suggestion(name string, known []string) string {
	given := strings.ToLower(name)
	for _, word := range []string{"expose", "origin", "method", "header", "age", "rule", "id"} {
		if !strings.Contains(given, word) {
			continue
		}
		for _, k := range known {
			if strings.Contains(strings.ToLower(k), word) {
				return fmt.Sprintf("; did you mean %s?", k)
			}
		}
	}
	return ""
}

func texts(f field) ([]string, error) {
	if f.value.kind != kindList {
		return nil, syntaxError(f.line, `%s wants a list, such as ["..."], not %v`, f.name, f.value.kind)
	}
	out := make([]string, 0, len(f.value.items))
	for _, item := range f.value.items {
		s, err := text(f.name, item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func text(name string, n node) (string, error) {
	if n.kind != kindText && n.kind != kindPlain {
		return "", syntaxError(n.line, "%s wants text, not %v", name, n.kind)
	}
	return n.text, nil
}

func seconds(f field) (*int32, error) {
	if f.value.kind != kindNumber && f.value.kind != kindPlain {
		return nil, syntaxError(f.line, "%s wants a number, not %v", f.name, f.value.kind)
	}
	v, err := strconv.ParseInt(f.value.text, 10, 32)
	if err != nil || v < 0 {
		return nil, syntaxError(f.line, "%s wants a whole number of seconds from 0 to 2147483647, not %s", f.name, f.value.text)
	}
	age := int32(v)
	return &age, nil
}
