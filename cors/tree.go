package cors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a parsed document of either notation, with the lines that error
// messages name.
type node struct {
	line   int
	kind   kind
	text   string  // of a scalar
	items  []node  // of a list
	fields []field // of an object, in the document's order
}

type field struct {
	name  string
	line  int
	value node
}

type kind int

const (
	kindNull   kind = iota
	kindText        // quoted
	kindNumber      // JSON only
	kindBool        // JSON only
	kindPlain       // unquoted YAML: what it is depends on what is wanted
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a value", "a list", "an object"}[k]
}

// maxDepth is twice what a configuration has: object, list, object, list, text.
const maxDepth = 10

// readTree reads JSON if the document looks like it, else YAML.
func readTree(doc []byte) (node, error) {
	if trimmed := bytes.TrimSpace(doc); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		n, err := readJSON(doc)
		if err == nil {
			return n, nil
		}
		// YAML's flow style begins like JSON. If it isn't that either, the
		// complaint about the JSON is the useful one.
		if n, yamlErr := readYAML(doc); yamlErr == nil {
			return n, nil
		}
		return node{}, err
	}
	return readYAML(doc)
}

func readJSON(doc []byte) (node, error) {
	// Checked as a whole first, so that reading the tokens can't fail.
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
			return node{}, syntaxError(1+bytes.Count(doc[:bad.Offset], []byte("\n")), "%v", bad)
		}
		return node{}, fmt.Errorf("reading JSON: %w", err)
	}
	r := jsonReader{doc: doc, dec: json.NewDecoder(bytes.NewReader(doc)), line: 1}
	r.dec.UseNumber()
	return r.node(maxDepth)
}

type jsonReader struct {
	doc  []byte
	dec  *json.Decoder
	at   int64 // line is that of this offset
	line int
}

func (r *jsonReader) token() (json.Token, error) {
	tok, err := r.dec.Token()
	end := r.dec.InputOffset()
	r.line += bytes.Count(r.doc[r.at:end], []byte("\n"))
	r.at = end
	return tok, err
}

func (r *jsonReader) node(depth int) (node, error) {
	tok, err := r.token()
	if err != nil {
		return node{}, err
	}
	n := node{line: r.line}
	if depth == 0 {
		return n, syntaxError(n.line, "nested too deeply to be CORS rules")
	}
	switch v := tok.(type) {
	case string:
		n.kind, n.text = kindText, v
	case json.Number:
		n.kind, n.text = kindNumber, v.String()
	case bool:
		n.kind, n.text = kindBool, strconv.FormatBool(v)
	case json.Delim:
		return r.container(n, v, depth)
	}
	return n, nil
}

func (r *jsonReader) container(n node, open json.Delim, depth int) (node, error) {
	n.kind = kindList
	if open == '{' {
		n.kind = kindObject
	}
	for r.dec.More() {
		name, line := "", r.line
		if n.kind == kindObject {
			key, err := r.token()
			if err != nil {
				return n, err
			}
			name, line = key.(string), r.line
		}
		value, err := r.node(depth - 1)
		if err != nil {
			return n, err
		}
		if n.kind == kindObject {
			n.fields = append(n.fields, field{name, line, value})
		} else {
			n.items = append(n.items, value)
		}
	}
	_, err := r.token() // the closing bracket
	return n, err
}

// yamlLine finds the line in the library's messages, which it has nowhere else.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

func readYAML(doc []byte) (node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	var top yaml.Node
	if err := dec.Decode(&top); errors.Is(err, io.EOF) {
		return node{}, syntaxError(0, "the document is empty")
	} else if err != nil {
		prefix := yamlLine.FindStringSubmatch(err.Error())
		line, _ := strconv.Atoi(prefix[1]) // some messages have none
		return node{}, syntaxError(line, "%s", strings.TrimPrefix(err.Error(), prefix[0]))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return node{}, syntaxError(0, "more than one document in the file")
	}
	return fromYAML(&top, maxDepth)
}

func fromYAML(y *yaml.Node, depth int) (node, error) {
	n := node{line: y.Line}
	if depth == 0 {
		return n, syntaxError(n.line, "nested too deeply to be CORS rules")
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return fromYAML(y.Content[0], depth)
	case yaml.AliasNode:
		// A few lines of aliases can stand for gigabytes.
		return n, syntaxError(n.line, "aliases (*%s) are not supported here", y.Value)
	case yaml.SequenceNode:
		n.kind = kindList
		for _, c := range y.Content {
			item, err := fromYAML(c, depth-1)
			if err != nil {
				return n, err
			}
			n.items = append(n.items, item)
		}
	case yaml.MappingNode:
		n.kind = kindObject
		for i := 0; i+1 < len(y.Content); i += 2 {
			value, err := fromYAML(y.Content[i+1], depth-1)
			if err != nil {
				return n, err
			}
			n.fields = append(n.fields, field{y.Content[i].Value, y.Content[i].Line, value})
		}
	default:
		n.kind, n.text = scalarKind(y), y.Value
	}
	return n, nil
}

func scalarKind(y *yaml.Node) kind {
	switch {
	case y.Tag == "!!null":
		return kindNull
	case y.Style == 0:
		return kindPlain
	default:
		return kindText
	}
}
