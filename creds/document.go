package creds

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// maxDocument is the most that is read of a document, in bytes. The platform
// caps an app's environment at about 130 KB; a trace may stand before it.
const maxDocument = 4 << 20

// service is one service of a document; what its credentials are good for is
// yet to be seen.
type service struct {
	name        string // of the instance, else of the binding
	bindingName string
	label       string
	plan        string
	tags        []string
	credentials map[string]any
}

// document is what was found in a text.
type document struct {
	services  []service
	redacted  bool // the platform hides the credentials from this user
	fileBased bool // the app reads its credentials from files that only it sees
	messages  []string
}

// parseDocument finds the services in a text: JSON, or what "cf env" and "cf
// service-key" print, or NAME=value lines as "cgs3fs env" prints them. It never
// fails; a text without services gives none.
func parseDocument(text []byte) document {
	var d document
	text = cleanText(text)
	if v, err := decodeJSON(text); err == nil {
		d.addValue(v)
		return d
	}
	d.addBlocks(systemPart(text))
	if len(d.services) == 0 && !d.redacted && !d.fileBased {
		d.addLines(text)
	}
	return d
}

// cleanText removes what terminals and editors add: colours, a byte order mark.
// Carriage returns do no harm.
func cleanText(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0x1b) >= 0 {
		text = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAll(text, nil)
	}
	return bytes.TrimSpace(text)
}

func decodeJSON(text []byte) (any, error) {
	var v any
	err := json.Unmarshal(text, &v)
	return v, err
}

// systemPart is the part of "cf env" that the platform wrote. What follows
// "User-Provided:" is the user's, and may hold a VCAP_SERVICES that is none.
func systemPart(text []byte) []byte {
	if at := regexp.MustCompile(`(?m)^User-Provided:\s*$`).FindIndex(text); at != nil {
		return text[:at[0]]
	}
	return text
}

// addBlocks reads the JSON values that begin a line, bare or after a name as in
// "VCAP_SERVICES: {". The block of VCAP_APPLICATION is the last that the
// platform writes, whatever the language of the words around it.
func (d *document) addBlocks(text []byte) {
	begin := regexp.MustCompile(`(?m)^(?:(?:export )?(VCAP_[A-Z_]+|SERVICE_BINDING_ROOT|redacted_message)(?:: |='?))?([{"])`)
	for len(text) > 0 {
		at := begin.FindSubmatchIndex(text)
		if at == nil {
			return
		}
		name := ""
		if at[2] >= 0 {
			name = string(text[at[2]:at[3]])
		}
		rest := text[at[4]:]
		dec := json.NewDecoder(bytes.NewReader(rest))
		var v any
		if err := dec.Decode(&v); err != nil {
			text = text[at[5]:]
			continue
		}
		text = rest[dec.InputOffset():]
		if object, ok := v.(map[string]any); ok && (name == "VCAP_APPLICATION" || object["VCAP_APPLICATION"] != nil) {
			return
		}
		if name == "" {
			d.addValue(v)
		} else {
			d.addValue(map[string]any{name: v})
		}
	}
}

// addValue reads one JSON value of any of the shapes in which services come.
func (d *document) addValue(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			d.addValue(item)
		}
	case map[string]any:
		d.addObject(v)
	}
}

func (d *document) addObject(m map[string]any) {
	if inner, ok := m["system_env_json"]; ok { // answer of GET /v3/apps/GUID/env
		d.addValue(inner)
		return
	}
	if inner, ok := m["VCAP_SERVICES"]; ok {
		if s, isText := inner.(string); isText {
			inner, _ = decodeJSON([]byte(s))
		}
		d.addServices(inner)
		return
	}
	switch {
	case m["redacted_message"] != nil:
		d.redacted = true
	case m["VCAP_SERVICES_FILE_PATH"] != nil || m["SERVICE_BINDING_ROOT"] != nil:
		d.fileBased = true
	case m["credentials"] != nil: // "cf service-key" of v8, CAPI's details, one service of VCAP_SERVICES
		d.addService(m)
	case m["errors"] != nil: // what "cf curl" prints, with status 0, when it fails
		d.addErrors(m["errors"])
	case isServiceMap(m):
		d.addServices(m)
	default: // "cf service-key" of v6 and v7
		d.services = append(d.services, service{credentials: m})
	}
}

// addServices reads the value of VCAP_SERVICES: lists of services by label.
func (d *document) addServices(v any) {
	m, _ := v.(map[string]any)
	for _, label := range sortedKeys(m) {
		list, _ := m[label].([]any)
		for _, item := range list {
			if object, ok := item.(map[string]any); ok {
				if _, has := object["label"].(string); !has {
					object["label"] = label
				}
				d.addService(object)
			}
		}
	}
}

func (d *document) addService(m map[string]any) {
	credentials, ok := m["credentials"].(map[string]any)
	if !ok {
		return
	}
	text := func(name string) string { s, _ := m[name].(string); return s }
	s := service{
		name: text("instance_name"), bindingName: text("binding_name"), label: text("label"),
		plan: text("plan"), tags: stringList(m["tags"]), credentials: credentials,
	}
	if s.name == "" {
		s.name = text("name")
	}
	if s.bindingName == "" && text("name") != s.name {
		s.bindingName = text("name")
	}
	d.services = append(d.services, s)
}

func (d *document) addErrors(v any) {
	list, _ := v.([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			if s, ok := m["detail"].(string); ok {
				d.messages = append(d.messages, s)
			}
		}
	}
}

// isServiceMap tells whether m is the value of VCAP_SERVICES: only lists of
// objects that have credentials.
func isServiceMap(m map[string]any) bool {
	for _, v := range m {
		list, ok := v.([]any)
		if !ok {
			return false
		}
		for _, item := range list {
			if object, ok := item.(map[string]any); !ok || object["credentials"] == nil {
				return false
			}
		}
	}
	return true
}

// addLines reads NAME=value lines, quoted or not, with or without "export".
func (d *document) addLines(text []byte) {
	m := map[string]any{}
	line := regexp.MustCompile(`^(?:export\s+|set\s+|\$env:)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$`)
	for _, l := range strings.Split(string(text), "\n") {
		if found := line.FindStringSubmatch(strings.TrimSpace(l)); found != nil {
			m[found[1]] = unquote(found[2])
		}
	}
	if len(m) > 0 {
		d.services = append(d.services, service{credentials: m})
	}
}

// unquote removes the quotes that shells and dotenv files put around a value.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		quote := s[:1]
		s = s[1 : len(s)-1]
		if quote == "'" {
			return strings.ReplaceAll(s, `'\''`, "'")
		}
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(s)
	}
	return s
}
