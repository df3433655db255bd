package creds

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// vcapVariable is VCAP_SERVICES, as the platform sets it for apps.
type vcapVariable struct{ Request }

func (v vcapVariable) named() bool { return false }

func (v vcapVariable) find(context.Context) ([]candidate, error) {
	text := v.Getenv("VCAP_SERVICES")
	if strings.TrimSpace(text) == "" {
		return nil, notHere("VCAP_SERVICES is not set")
	}
	return vcapCandidates([]byte(text), "VCAP_SERVICES")
}

// vcapCandidates reads a text that must be VCAP_SERVICES and nothing else.
func vcapCandidates(text []byte, name string) ([]candidate, error) {
	v, err := decodeJSON(cleanText(text))
	if _, isObject := v.(map[string]any); err != nil || !isObject {
		return nil, invalid("unset it, or set it to what cf env shows", "%s is not a JSON object", name)
	}
	var d document
	d.addValue(v)
	return d.candidates(name)
}

// vcapFile is the file that the platform writes for apps with the feature
// file-based-vcap-services.
type vcapFile struct{ Request }

func (v vcapFile) named() bool { return false }

func (v vcapFile) find(ctx context.Context) ([]candidate, error) { return repeatable(ctx, v.look) }

func (v vcapFile) look(context.Context) ([]candidate, error) {
	name := v.Getenv("VCAP_SERVICES_FILE_PATH")
	if name == "" {
		return nil, unset("VCAP_SERVICES_FILE_PATH")
	}
	text, err := readPrivate(v.Request, name, "VCAP_SERVICES_FILE_PATH")
	if err != nil {
		return nil, err
	}
	return vcapCandidates(text, "VCAP_SERVICES_FILE_PATH")
}

// bindingRoot is a directory with a directory for each service, in which each
// field is a file: the form of servicebinding.io, which the platform writes for
// apps with the feature service-binding-k8s.
type bindingRoot struct{ Request }

func (b bindingRoot) named() bool { return false }

func (b bindingRoot) find(ctx context.Context) ([]candidate, error) { return repeatable(ctx, b.look) }

func (b bindingRoot) look(context.Context) ([]candidate, error) {
	root := b.Getenv("SERVICE_BINDING_ROOT")
	if root == "" {
		return nil, unset("SERVICE_BINDING_ROOT")
	}
	dirs, err := os.ReadDir(root)
	if err != nil {
		return nil, fileError("SERVICE_BINDING_ROOT", err)
	}
	var d document
	for _, dir := range dirs {
		if strings.HasPrefix(dir.Name(), ".") {
			continue // where Kubernetes keeps the versions of a mounted secret
		}
		s, err := readBindingDir(filepath.Join(root, dir.Name()))
		if err != nil {
			return nil, err
		}
		if s.credentials != nil {
			d.services = append(d.services, s)
		}
	}
	return d.candidates("SERVICE_BINDING_ROOT")
}

// readBindingDir reads one service. Beside the credentials the platform writes
// "type" and "provider", the service's label, and facts of VCAP_SERVICES.
func readBindingDir(dir string) (service, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() {
			return service{}, nil
		}
		return service{}, fileError("SERVICE_BINDING_ROOT", err)
	}
	m := map[string]any{}
	for _, f := range files {
		name := filepath.Join(dir, f.Name())
		info, err := os.Stat(name) // follows the links that Kubernetes makes
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxDocument {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return service{}, fileError("SERVICE_BINDING_ROOT", err)
		}
		m[f.Name()] = bindingValue(strings.TrimSpace(string(text)))
	}
	take := func(names ...string) string {
		for _, name := range names {
			if s, ok := m[name].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	s := service{
		name: take("instance-name", "instance_name"), label: take("label", "type"), plan: take("plan"),
		tags: stringList(m["tags"]),
	}
	if s.name == "" {
		s.name = filepath.Base(dir)
	}
	for _, fact := range []string{"type", "provider", "label", "plan", "tags", "name", "instance-name", "instance-guid", "binding-guid", "binding-name", "instance_name", "instance_guid", "binding_guid", "binding_name"} {
		delete(m, fact)
	}
	s.credentials = m
	return s, nil
}

// bindingValue reads what a file of a binding says: text, or a list as JSON.
func bindingValue(s string) any {
	if strings.HasPrefix(s, "[") {
		if v, err := decodeJSON([]byte(s)); err == nil {
			return v
		}
	}
	return s
}

// awsVariables is AWS_ACCESS_KEY_ID and its companions, with the bucket in
// BUCKET_NAME unless the request names one.
type awsVariables struct{ Request }

func (a awsVariables) named() bool { return false }

func (a awsVariables) find(context.Context) ([]candidate, error) {
	f := fields{
		access:   a.Getenv("AWS_ACCESS_KEY_ID"),
		secret:   a.Getenv("AWS_SECRET_ACCESS_KEY"),
		token:    a.Getenv("AWS_SESSION_TOKEN"),
		bucket:   a.Bucket,
		region:   firstOf(a.Getenv, "AWS_REGION", "AWS_DEFAULT_REGION"),
		endpoint: firstOf(a.Getenv, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
	}
	fill(&f.bucket, a.Getenv("BUCKET_NAME"))
	hint := `eval "$(cgs3fs env --app APP)" sets them all`
	switch {
	case f.access == "" && f.secret == "":
		return nil, notHere("AWS_ACCESS_KEY_ID is not set")
	case f.bucket == "":
		return nil, notHere("AWS_ACCESS_KEY_ID is set but BUCKET_NAME is not")
	case f.access == "":
		return nil, invalid(hint, "AWS_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not")
	case f.secret == "":
		return nil, invalid(hint, "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not")
	}
	if err := checkFields(f); err != nil {
		return nil, &Error{Kind: ErrInvalid, Text: "AWS_* variables", Err: err, Advice: hint}
	}
	address, err := resolveAddress(f)
	if err != nil {
		return nil, &Error{Kind: ErrInvalid, Text: "AWS_ENDPOINT_URL_S3", Err: err, Advice: hint}
	}
	const source = "AWS_ACCESS_KEY_ID"
	return []candidate{{
		Binding: Binding{
			Bucket: f.bucket, Region: address.region, Endpoint: address.endpoint, PathStyle: address.pathStyle,
			Source: source,
		},
		keys: f.credentials(source),
	}}, nil
}

func firstOf(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}
