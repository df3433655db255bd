package creds

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// nasty is a secret that breaks every careless quoting.
const nasty = "a/+b'c\"d$HOME`id`\\e!f;g&h|i<j>k(l)m{n}o*p?q#r~s%t=u‘v’w"

func exported(t testing.TB, c aws.Credentials, format Format) string {
	t.Helper()
	b := Binding{Bucket: "cf-1", Region: "us-gov-west-1", Endpoint: "https://h", Credentials: newProvider(c, time.Now, nil)}
	text, err := b.Export(t.Context(), format)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestExportForShells(t *testing.T) {
	c := aws.Credentials{AccessKeyID: "id", SecretAccessKey: nasty}
	for _, shell := range []string{"sh", "bash", "dash", "zsh"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		cmd := exec.Command(shell, "-c", `set -eu; eval "$1"; printf '%s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "${AWS_SESSION_TOKEN-unset}" "$BUCKET_NAME" "$AWS_REGION$AWS_DEFAULT_REGION" "$AWS_ENDPOINT_URL_S3"`, "x", exported(t, c, Shell))
		cmd.Env = append(os.Environ(), "AWS_SESSION_TOKEN=of another bucket")
		out, err := cmd.CombinedOutput()
		want := "id\n" + nasty + "\nunset\ncf-1\nus-gov-west-1us-gov-west-1\nhttps://h\n"
		if err != nil || string(out) != want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", shell, err, out, want)
		}
	}
}

func TestExportIsReadBack(t *testing.T) {
	c := aws.Credentials{AccessKeyID: "id", SecretAccessKey: nasty, SessionToken: "tok"}
	for _, format := range []Format{Shell, Dotenv, JSON} {
		r := request(t, nil)
		r.File = write(t, "exported", exported(t, c, format), 0o600)
		b := find(t, r)
		if b.Bucket != "cf-1" || b.Region != "us-gov-west-1" || b.Endpoint != "https://h" || keyOf(t, b) != "id:"+nasty+":tok" {
			t.Errorf("%s: read back as %s with %s", format, plainOf(t, b), keyOf(t, b))
		}
	}
}

func TestExportForTheSDK(t *testing.T) {
	c := aws.Credentials{AccessKeyID: "id", SecretAccessKey: "a/+b", SessionToken: "tok"}
	r := request(t, nil)
	write(t, filepath.Join(r.HomeDir, "credentials"), exported(t, c, AWSCredentials), 0o600)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "a/+b" || got.SessionToken != "tok" || cfg.Region != "us-gov-west-1" {
		t.Errorf("the SDK reads %q in %q, %v", got.AccessKeyID, cfg.Region, err)
	}
}

func TestExportAsAProcess(t *testing.T) {
	c := aws.Credentials{AccessKeyID: "id", SecretAccessKey: nasty, CanExpire: true, Expires: time.Now().Add(time.Hour)}
	var got map[string]any
	if err := json.Unmarshal([]byte(exported(t, c, CredentialProcess)), &got); err != nil {
		t.Fatal(err)
	}
	if got["Version"] != 1.0 || got["AccessKeyId"] != "id" || got["SecretAccessKey"] != nasty || got["SessionToken"] != nil || got["Expiration"] != c.Expires.UTC().Format(time.RFC3339) {
		t.Errorf("got %v", got)
	}
}

func TestExportForPowerShell(t *testing.T) {
	text := exported(t, aws.Credentials{AccessKeyID: "id", SecretAccessKey: "a'b‘c$d"}, PowerShell)
	for _, line := range []string{"$env:AWS_SECRET_ACCESS_KEY = 'a''b‘‘c$d'\n", "$env:AWS_SESSION_TOKEN = $null\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	b := Binding{Credentials: newProvider(keys("id"), time.Now, nil)}
	if _, err := b.Export(t.Context(), "xml"); !errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "secret") {
		t.Errorf("Export = %v, want ErrUsage", err)
	}
}
