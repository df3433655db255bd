package command

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

func corsCommand() *cli.Command { return corsCommandWith(openCORS, sourceFlags()) }

// openCORS is the session of a real run.
func openCORS(c *cli.Context) (*corsSession, error) {
	o, err := openBucket(c, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	rules, ok := s3.As[s3.CORS](o.bucket)
	if !ok {
		return nil, fail(exitFailed, "this kind of bucket has no CORS rules")
	}
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	base, err := bucketURL(o.binding, o.client.Region())
	if err != nil {
		return nil, err
	}
	client, err := plainClient(o.binding, c.String("ca-bundle"))
	if err != nil {
		return nil, err
	}
	s := &corsSession{
		bucket: o.binding.Bucket, rules: rules,
		history:   newCORSHistory(state, o.binding.Bucket, serverName(o.binding)),
		objectURL: func(key string) *url.URL { return objectURL(base, key) },
		client:    client, sign: signer(o.binding.Credentials, o.client.Region()),
		out: c.App.Writer, err: c.App.ErrWriter,
		now: time.Now, sleep: sleep,
	}
	if isTerminal(os.Stdin) && isTerminal(os.Stderr) {
		s.ask = func(question string) (bool, error) { return ask(c.App.Reader, s.err, question) }
	}
	return s, nil
}

// serverName is what the history calls the server: Amazon's regions are one,
// for bucket names are unique among them.
func serverName(b creds.Binding) string {
	if u, err := url.Parse(b.Endpoint); err == nil && u.Host != "" {
		return u.Host
	}
	return "amazonaws.com"
}

// bucketURL is the address of a bucket as a browser would use it, without a
// slash at the end.
func bucketURL(b creds.Binding, region string) (*url.URL, error) {
	endpoint := b.Endpoint
	if endpoint == "" {
		endpoint = fmt.Sprintf("https://s3.%s.amazonaws.com", region)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, usagef("the endpoint %q is no URL", endpoint)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	amazon := strings.HasSuffix(u.Hostname(), ".amazonaws.com")
	// A certificate for *.s3.amazonaws.com doesn't hold for a bucket with dots.
	if b.PathStyle || !amazon || strings.Contains(b.Bucket, ".") {
		return u.JoinPath(b.Bucket), nil
	}
	u.Host = b.Bucket + "." + u.Host
	return u, nil
}

// objectURL is the address of an object. Keys are not cleaned as paths are:
// "a//b" and "../a" are keys. What is escaped is what S3's signatures want.
func objectURL(bucket *url.URL, key string) *url.URL {
	u := *bucket
	escaped := strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(key))
	u.RawPath = u.EscapedPath() + "/" + escaped
	u.Path += "/" + key
	return &u
}

// plainClient shows the answers as they are: a browser follows no redirect after
// a preflight.
func plainClient(b creds.Binding, caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: b.InsecureSkipVerify} // as the service says, and connect has warned
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, usagef("--ca-bundle: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--ca-bundle: %s has no certificate in it", caFile)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// signer signs requests that read, as S3 wants them.
func signer(keys aws.CredentialsProvider, region string) func(*http.Request) error {
	return func(r *http.Request) error {
		key, err := keys.Retrieve(r.Context())
		if err != nil {
			return err
		}
		const payload = "UNSIGNED-PAYLOAD" // there is none
		r.Header.Set("X-Amz-Content-Sha256", payload)
		return v4.NewSigner().SignHTTP(r.Context(), key, r, payload, "s3", region, time.Now(), func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping = true // S3 takes the path as it is sent
		})
	}
}

// ask puts a question whose answer is yes or no; no is what it takes anything
// else for.
func ask(in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
