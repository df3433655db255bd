package creds

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Format is a way to write a binding down for other programs.
type Format string

// The formats of [Binding.Export].
const (
	Shell             Format = "shell"              // export NAME='value', for eval in sh, bash, zsh
	Dotenv            Format = "dotenv"             // NAME=value, for docker --env-file and the like
	JSON              Format = "json"               // an object of the same names
	AWSCredentials    Format = "aws-credentials"    // a file for AWS_SHARED_CREDENTIALS_FILE
	PowerShell        Format = "powershell"         // $env:NAME = 'value'
	CredentialProcess Format = "credential-process" // what credential_process of ~/.aws/config reads
)

// Formats returns all formats, the default first.
func Formats() []Format {
	return []Format{Shell, Dotenv, JSON, AWSCredentials, PowerShell, CredentialProcess}
}

// variable is an environment variable; without a value it is to be unset, so
// that one that was set for another bucket is not mixed in.
type variable struct{ name, value string }

// Export writes the binding down, secret included, with a newline at the end.
// An unknown format is ErrUsage.
func (b Binding) Export(ctx context.Context, format Format) (string, error) {
	keys, err := b.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	vars := []variable{
		{"AWS_ACCESS_KEY_ID", keys.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", keys.SecretAccessKey},
		{"AWS_SESSION_TOKEN", keys.SessionToken},
		{"BUCKET_NAME", b.Bucket},
		{"AWS_DEFAULT_REGION", b.Region},
		{"AWS_REGION", b.Region},
		{"AWS_ENDPOINT_URL_S3", b.Endpoint},
	}
	switch format {
	case Shell:
		return writeLines(vars, "export %s=%s\n", quoteShell, "unset %s\n"), nil
	case PowerShell:
		return writeLines(vars, "$env:%s = %s\n", quotePowerShell, "$env:%s = $null\n"), nil
	case Dotenv:
		return writeLines(vars, "%s=%s\n", quoteDotenv, ""), nil
	case JSON:
		return exportJSON(vars)
	case AWSCredentials:
		return "[default]\n" + writeLines([]variable{
			{"aws_access_key_id", keys.AccessKeyID},
			{"aws_secret_access_key", keys.SecretAccessKey},
			{"aws_session_token", keys.SessionToken},
			{"region", b.Region},
			{"endpoint_url", b.Endpoint},
		}, "%s = %s\n", func(s string) string { return s }, ""), nil
	case CredentialProcess:
		return exportProcess(keys)
	}
	return "", &Error{Kind: ErrUsage, Text: fmt.Sprintf("unknown format %q", string(format)), Advice: fmt.Sprintf("use one of %v", Formats())}
}

// writeLines writes a line for each variable; those without a value by the
// format unset, which may be empty.
func writeLines(vars []variable, set string, quote func(string) string, unset string) string {
	var b strings.Builder
	for _, v := range vars {
		switch {
		case v.value != "":
			fmt.Fprintf(&b, set, v.name, quote(v.value))
		case unset != "":
			fmt.Fprintf(&b, unset, v.name)
		}
	}
	return b.String()
}

func exportJSON(vars []variable) (string, error) {
	m := map[string]string{}
	for _, v := range vars {
		if v.value != "" {
			m[v.name] = v.value
		}
	}
	return marshal(m)
}

// exportProcess follows "Sourcing credentials with an external process" of the
// AWS CLI's user guide.
func exportProcess(keys aws.Credentials) (string, error) {
	out := struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string `json:",omitempty"`
		Expiration      string `json:",omitempty"`
	}{Version: 1, AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}
	if keys.CanExpire {
		out.Expiration = keys.Expires.UTC().Format(time.RFC3339)
	}
	return marshal(out)
}

// marshal writes JSON without escaping what is only special in HTML.
func marshal(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.String(), err
}

// quoteShell quotes for every POSIX shell: nothing is special between single
// quotes but the single quote.
func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quotePowerShell doubles every character that PowerShell takes for a single
// quote, the typographic ones included.
func quotePowerShell(s string) string {
	return "'" + regexp.MustCompile("['‘’‚‛]").ReplaceAllString(s, "$0$0") + "'"
}

// quoteDotenv leaves what needs no quotes alone, because docker's --env-file
// takes quotes literally; keys need none.
func quoteDotenv(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,~-]*$`).MatchString(s) {
		return s
	}
	return quoteShell(s)
}
