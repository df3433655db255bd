package creds

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goldenSecret = "s3cr3t/+key" // in every text under testdata/cf

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "cf", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTextsOfTheRealCLIs(t *testing.T) {
	one := []Candidate{{Service: "cfs3-s3", Plan: "basic", Bucket: "cf-aaaa"}}
	two := append(one[:1:1], Candidate{Service: "second-s3", Plan: "basic-public", Bucket: "cf-bbbb"})
	key := []Candidate{{Service: "cf-aaaa", Bucket: "cf-aaaa"}}
	for name, want := range map[string]struct {
		found []Candidate
		kind  error
	}{
		"cf6-env-cfs3.txt":          {one, nil},
		"cf7-env-cfs3.txt":          {one, nil},
		"cf8-env-cfs3.txt":          {one, nil},
		"cf8-env-colour.txt":        {one, nil},
		"cf6-env-two-buckets.txt":   {two, nil},
		"cf7-env-two-buckets.txt":   {two, nil},
		"cf8-env-two-buckets.txt":   {two, nil},
		"cf8-env-user-provided.txt": {[]Candidate{{Service: "my-minio", Bucket: "cf-aaaa"}}, nil},
		"cf6-service-key.txt":       {key, nil},
		"cf7-service-key.txt":       {key, nil},
		"cf8-service-key.txt":       {key, nil},
		"cf8-service-key-json.txt":  {key, nil},
		"cf6-env-no-services.txt":   {nil, ErrNotHere},
		"cf7-env-no-services.txt":   {nil, ErrNotHere},
		"cf8-env-no-services.txt":   {nil, ErrNotHere},
		"cf8-env-redacted.txt":      {nil, ErrDenied},
		"cf8-env-credhub.txt":       {nil, ErrInvalid},
		"cf8-env-filebased.txt":     {nil, ErrInvalid},
		"cf8-env-k8sbound.txt":      {nil, ErrInvalid},
		"cf8-target.txt":            {nil, ErrNotHere},
		"cf8-service-keys.txt":      {nil, ErrNotHere},
	} {
		text := golden(t, name)
		for form, text := range map[string][]byte{
			"":                      text,
			" from Windows":         []byte("\xef\xbb\xbf" + strings.ReplaceAll(string(text), "\n", "\r\n")),
			" after a trace":        append([]byte("REQUEST: [2026]\nGET /v3/apps HTTP/1.1\n{\"pagination\":\n\n"), text...),
			" after a trace's body": append([]byte("RESPONSE:\n{\"resources\": [{\"a\": 1}]}\n"), text...),
		} {
			found, err := parseDocument(text).candidates(name)
			if !errors.Is(err, want.kind) {
				t.Errorf("%s%s: error %v, want %v", name, form, err, want.kind)
			}
			var got []Candidate
			for _, c := range found {
				got = append(got, c.describe())
				if c.keys.AccessKeyID != "AKIAEXAMPLE" || c.keys.SecretAccessKey != goldenSecret || c.Endpoint != "http://127.0.0.1:7070" || !c.PathStyle {
					t.Errorf("%s%s: read wrongly: %q at %s", name, form, c.keys.AccessKeyID, c.Endpoint)
				}
			}
			if diff := cmp.Diff(want.found, got); diff != "" {
				t.Errorf("%s%s: -want +got\n%s", name, form, diff)
			}
		}
	}
}

func TestShapesOfDocuments(t *testing.T) {
	const keys = `{"access_key_id":"AKIAEXAMPLE","secret_access_key":"s3cr3t/+key","bucket":"cf-aaaa"}`
	const services = `{"s3":[{"name":"n","credentials":` + keys + `}]}`
	for name, text := range map[string]string{
		"VCAP_SERVICES' value":        services,
		"VCAP_SERVICES in an object":  `{"VCAP_SERVICES":` + services + `}`,
		"VCAP_SERVICES as text":       `{"VCAP_SERVICES":` + strings.ReplaceAll(`"`+strings.ReplaceAll(services, `"`, `\"`)+`"`, "\n", "") + `}`,
		"answer of GET app env":       `{"system_env_json":{"VCAP_SERVICES":` + services + `},"environment_variables":{"VCAP_SERVICES":"x"}}`,
		"answer of GET details":       `{"credentials":` + keys + `,"volume_mounts":[]}`,
		"a list of services":          `[{"name":"n","label":"s3","credentials":` + keys + `}]`,
		"bare fields":                 keys,
		"a variable of the shell":     "export VCAP_SERVICES='" + services + "'",
		"a variable of dotenv":        "VCAP_SERVICES=" + services,
		"lines of cgs3fs env":         "export AWS_ACCESS_KEY_ID='AKIAEXAMPLE'\nexport AWS_SECRET_ACCESS_KEY='s3cr3t/+key'\nunset AWS_SESSION_TOKEN\nexport BUCKET_NAME='cf-aaaa'\n",
		"lines of dotenv":             "# a comment\nAWS_ACCESS_KEY_ID=AKIAEXAMPLE\nAWS_SECRET_ACCESS_KEY=s3cr3t/+key\nBUCKET_NAME=\"cf-aaaa\"\n",
		"the same service many times": `[` + services + `,` + services + `]`,
	} {
		found, err := parseDocument([]byte(text)).candidates("test")
		if err != nil || len(found) != 1 || found[0].Bucket != "cf-aaaa" || found[0].keys.SecretAccessKey != goldenSecret {
			t.Errorf("%s: candidates of %s: %v, %v", name, text, found, err)
		}
	}
}

func TestUserVariablesAreNotTrusted(t *testing.T) {
	decoy := `{"VCAP_SERVICES":{"s3":[{"name":"decoy","credentials":{"access_key_id":"A","secret_access_key":"B","bucket":"decoy"}}]}}`
	for name, text := range map[string]string{
		"English": "System-Provided:\n\n{\n \"VCAP_APPLICATION\": {}\n}\n\nUser-Provided:\nX: a\n" + decoy + "\n",
		"German":  "Vom System:\n\n{\n \"VCAP_APPLICATION\": {}\n}\n\nVom Benutzer:\n" + decoy + "\n",
		"v8":      "System-Provided:\nVCAP_SERVICES: {}\n\n\nUser-Provided:\n" + decoy + "\n",
	} {
		if found, err := parseDocument([]byte(text)).candidates("x"); !errors.Is(err, ErrNotHere) {
			t.Errorf("%s: candidates = %v, %v, want ErrNotHere", name, found, err)
		}
	}
}

func TestMistakesInDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"a newline in the secret": `{"access_key_id":"A","secret_access_key":"TOP\nSECRET","bucket":"b"}`,
		"a slash in the bucket":   `{"access_key_id":"A","secret_access_key":"TOPSECRET","bucket":"b/c"}`,
		"a bad endpoint":          `{"access_key_id":"A","secret_access_key":"TOPSECRET","bucket":"b","endpoint":"ftp://u:TOPSECRET@h"}`,
		"a bad region":            `{"access_key_id":"A","secret_access_key":"TOPSECRET","bucket":"b","region":"x/../TOPSECRET"}`,
		"an error of the CLI":     `{"errors":[{"code":10002,"title":"CF-NotAuthenticated","detail":"Authentication error"}]}`,
	} {
		_, err := parseDocument([]byte(text)).candidates("x")
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "TOP") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line of ErrInvalid without the secret", name, err)
		}
	}
}

func FuzzDocument(f *testing.F) {
	files, err := filepath.Glob("testdata/cf/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := parseDocument(text).candidates("fuzz")
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("%d candidates and error %v", len(found), err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has several lines: %q", err)
		}
		for _, c := range found {
			if c.keys.AccessKeyID == "" || c.keys.SecretAccessKey == "" || strings.ContainsAny(c.Bucket+c.Region, "/ \n") {
				t.Errorf("unusable candidate %+v", c.Binding)
			}
			if c.Endpoint != "" && hostOf(c.Endpoint) == "" {
				t.Errorf("unusable endpoint %q", c.Endpoint)
			}
		}
	})
}
