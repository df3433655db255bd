package creds

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCredentialsFromStandardInput(t *testing.T) {
	r := request(t, map[string]string{"VCAP_SERVICES": vcap("one/b/id")})
	r.File, r.Stdin = "-", bytes.NewReader(golden(t, "cf8-env-two-buckets.txt"))
	r.Service = "second-s3"
	b := find(t, r)
	if b.Bucket != "cf-bbbb" || b.Source != "standard input, service second-s3" || b.Key != "assets" || !b.Public() {
		t.Errorf("Find = %s", plainOf(t, b))
	}
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNoRefresh) {
		t.Errorf("Refresh = %v, want ErrNoRefresh", err)
	}
}

func TestFileThatOthersMayRead(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true, 0o604: true} {
		var log bytes.Buffer
		r := request(t, nil)
		r.Log = slog.New(slog.NewTextHandler(&log, nil))
		r.File = write(t, "key.json", string(golden(t, "cf8-service-key-json.txt")), 0o600)
		if err := os.Chmod(r.File, mode); err != nil {
			t.Fatal(err)
		}
		find(t, r)
		if warned := strings.Contains(log.String(), "chmod 600"); warned != want {
			t.Errorf("mode %04o: warned %v, want %v", mode, warned, want)
		}
	}
}

func TestFileIsReadAgain(t *testing.T) {
	r := request(t, nil)
	now := time.Now()
	r.Now = func() time.Time { return now }
	r.File = write(t, "vcap.json", vcap("one/b1/id1", "two/b2/id2"), 0o600)
	r.Service = "two"
	b := find(t, r)
	write(t, r.File, vcap("one/b1/id1", "two/b2/id3", "three/b3/id4"), 0o600)
	if err := b.Refresh(t.Context()); err != nil || keyOf(t, b) != "id3:sec-id3:" {
		t.Errorf("Refresh = %v with %s", err, keyOf(t, b))
	}
	now = now.Add(time.Hour)
	write(t, r.File, vcap("one/b1/id1", "two/other/id5"), 0o600)
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNotFound) || keyOf(t, b) != "id3:sec-id3:" {
		t.Errorf("Refresh to another bucket = %v with %s", err, keyOf(t, b))
	}
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]error{
		filepath.Join(dir, "missing"): ErrNotFound,
		dir:                           ErrInvalid,
		write(t, "empty", "", 0o600):  ErrInvalid,
		write(t, "words", "FAILED\nTOPSECRET\n", 0o600):                                                              ErrInvalid,
		write(t, "half", `{"access_key_id":"TOPSECRET","buck`, 0o600):                                                ErrInvalid,
		write(t, "large", strings.Repeat("x", maxDocument+1), 0o600):                                                 ErrInvalid,
		write(t, "postgres", `{"credentials":{"username":"u","password":"TOPSECRET","name":"d","host":"h"}}`, 0o600): ErrInvalid,
	} {
		r := request(t, map[string]string{"VCAP_SERVICES": vcap("one/b/id")})
		r.File = name
		_, err := Find(t.Context(), r)
		var hinted interface{ Hint() string }
		if !errors.Is(err, want) || !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("%s: Find = %v, want %v with a hint", filepath.Base(name), err, want)
		}
		if filepath.Base(name) == "large" && !strings.Contains(err.Error(), "too long") {
			t.Errorf("large: Find = %v, want that it is too long", err)
		}
		if strings.Contains(err.Error(), "TOPSECRET") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: not one line without secrets: %v", filepath.Base(name), err)
		}
	}
}

func TestSwisscomBucketMustBeNamed(t *testing.T) {
	r := request(t, map[string]string{
		"VCAP_SERVICES": `{"dynstrg":[{"name":"store","credentials":{"accessKeyID":"id","secretAccessKey":"sec","accessHost":"ds11.swisscom.com"}}]}`,
	})
	if _, err := Find(t.Context(), r); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no bucket") {
		t.Errorf("Find = %v, want ErrNotFound", err)
	}
	r.Bucket = "mine"
	if b := find(t, r); b.Bucket != "mine" || b.Endpoint != "https://ds11.swisscom.com" || len(b.AdditionalBuckets) != 0 {
		t.Errorf("Find = %s", plainOf(t, b))
	}
}

func TestFileOfVCAPServices(t *testing.T) {
	name := write(t, "vcap", vcap("one/b/id"), 0o600)
	if b := find(t, request(t, map[string]string{"VCAP_SERVICES_FILE_PATH": name})); b.Source != "VCAP_SERVICES_FILE_PATH, service one" {
		t.Errorf("Find = %v", b)
	}
	if _, err := Find(t.Context(), request(t, map[string]string{"VCAP_SERVICES_FILE_PATH": name + "x"})); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find without the file = %v, want ErrNotFound", err)
	}
}

func TestMalformedVCAPServices(t *testing.T) {
	for _, text := range []string{`{"s3": [TOPSECRET`, `[]`, `"x"`, `null`, `TOPSECRET`} {
		_, err := Find(t.Context(), request(t, map[string]string{"VCAP_SERVICES": text}))
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "TOPSECRET") {
			t.Errorf("VCAP_SERVICES=%s: Find = %v, want ErrInvalid", text, err)
		}
	}
}

func TestServiceBindingRoot(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"files/type": "s3", "files/plan": "basic", "files/instance-name": "cfs3-s3", "files/tags": `["AWS","S3"]`,
		"files/access_key_id": "id\n", "files/secret_access_key": "sec", "files/bucket": "b", "files/region": "us-gov-west-1",
		"files/additional_buckets": `["c"]`, "files/..data/bucket": "decoy",
		"db/type": "aws-rds", "db/username": "u", "db/password": "p", "db/name": "d", "db/host": "h",
		"..2026_11_23/type": "s3", "..2026_11_23/access_key_id": "id9", "..2026_11_23/secret_access_key": "sec", "..2026_11_23/bucket": "decoy",
	} {
		write(t, filepath.Join(root, name), text, 0o600)
	}
	b := find(t, request(t, map[string]string{"SERVICE_BINDING_ROOT": root}))
	want := `{"bucket":"b","region":"us-gov-west-1","endpoint":"https://s3.us-gov-west-1.amazonaws.com","additional_buckets":["c"],"source":"SERVICE_BINDING_ROOT, service cfs3-s3","service":"cfs3-s3","plan":"basic"}`
	if got := plainOf(t, b); got != want || keyOf(t, b) != "id:sec:" {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := Find(t.Context(), request(t, map[string]string{"SERVICE_BINDING_ROOT": root + "x"})); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find without the directory = %v, want ErrNotFound", err)
	}
}

func TestHalfSetAWSVariables(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no secret":   {"AWS_ACCESS_KEY_ID": "id", "BUCKET_NAME": "b"},
		"no id":       {"AWS_SECRET_ACCESS_KEY": "TOPSECRET", "BUCKET_NAME": "b"},
		"a newline":   {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "TOPSECRET\nx", "BUCKET_NAME": "b"},
		"an endpoint": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "TOPSECRET", "BUCKET_NAME": "b", "AWS_ENDPOINT_URL_S3": "ftp://TOPSECRET@h"},
	} {
		_, err := Find(t.Context(), request(t, env))
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "TOPSECRET") {
			t.Errorf("%s: Find = %v, want ErrInvalid", name, err)
		}
	}
}
