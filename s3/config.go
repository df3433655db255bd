package s3

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config says where a bucket is and how to talk to it. Only Bucket is
// necessary. Open does not change it.
type Config struct {
	Bucket string

	// Region of the bucket. If it is empty or wrong, Client.Check finds out.
	Region string

	// Endpoint is the server's address, as a URL or only a host (then https).
	// Empty is Amazon's, for the region.
	Endpoint string

	// FIPS asks for Amazon's validated endpoints. It has no effect together
	// with Endpoint.
	FIPS bool

	// PathStyle puts the bucket into the path of the URL instead of into the
	// host name. Auto does so unless the server is Amazon's.
	PathStyle Choice

	// Checksums sends a CRC64NVME with every upload and checks what the server
	// has stored with an object on whole downloads. Auto does so with Amazon;
	// other servers are only sent what S3 requires, and SHA-256 signatures
	// guard uploads.
	Checksums Choice

	// Credentials sign the requests; nil is an anonymous caller.
	Credentials aws.CredentialsProvider

	CABundle           []byte // PEM; certificates to trust instead of the system's
	InsecureSkipVerify bool   // trust any certificate
	RequesterPays      bool
	Encryption         Encryption

	UserAgent string // such as "cgs3fs/1.0"
	Log       *slog.Logger

	Timeouts Timeouts

	// WrapTransport, if set, is put between the client and the network: to see what
	// is on its way, and for tests. The stall watchdog is above it.
	WrapTransport func(http.RoundTripper) http.RoundTripper
}

// Choice is yes, no, or what fits the server.
type Choice int

// The choices.
const (
	Auto Choice = iota
	Always
	Never
)

func (c Choice) or(auto bool) bool { return c == Always || c == Auto && auto }

// Encryption is the encryption that the server is asked for when it stores an
// object. The zero value leaves it to the bucket's default.
type Encryption struct {
	Algorithm string // "AES256" or "aws:kms"
	KMSKey    string // key ID or ARN; empty is the account's default key
}

// Timeouts bound waiting. A request may take any time as long as it moves.
type Timeouts struct {
	Dial   time.Duration // for a connection; 0 is 5 s
	Stall  time.Duration // without a byte sent or received; 0 is 20 s
	Finish time.Duration // for the answer to a Copy, CopyPart or Complete, which S3 works on silently; 0 is 5 min
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Dial:   cmp.Or(t.Dial, 5*time.Second),
		Stall:  cmp.Or(t.Stall, 20*time.Second),
		Finish: cmp.Or(t.Finish, 5*time.Minute),
	}
}

// Validate says what is wrong with a Config, without asking the network.
func (c Config) Validate() error {
	if c.Bucket == "" {
		return errors.New("no bucket named")
	}
	if strings.ContainsAny(c.Bucket, "/?#%\\ ") {
		return fmt.Errorf("%q is not a bucket name", c.Bucket)
	}
	if c.Encryption.KMSKey != "" && c.Encryption.Algorithm != "aws:kms" {
		return errors.New("a KMS key needs the encryption aws:kms")
	}
	_, err := c.endpointURL()
	return err
}

// endpointURL parses Endpoint; nil is Amazon's.
func (c Config) endpointURL() (*url.URL, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	text := c.Endpoint
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("endpoint %q is not a URL: %w", c.Endpoint, err)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("endpoint %q: the scheme must be https or http", c.Endpoint)
	case u.Host == "":
		return nil, fmt.Errorf("endpoint %q has no host", c.Endpoint)
	case u.User != nil:
		return nil, errors.New("the endpoint must not hold a user name or a password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %q: a query makes no sense there", c.Endpoint)
	}
	return u, nil
}

// isAmazon says whether u is one of Amazon's own servers; nil is.
func isAmazon(u *url.URL) bool {
	if u == nil {
		return true
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// regionOf returns the region that one of Amazon's host names tells, such as
// s3.us-gov-west-1.amazonaws.com, s3-fips.us-gov-west-1.amazonaws.com, and the
// old s3-us-gov-west-1.amazonaws.com; otherwise "".
func regionOf(u *url.URL) string {
	if u == nil || !isAmazon(u) {
		return ""
	}
	host, _, _ := strings.Cut(strings.ToLower(u.Hostname()), ".amazonaws.com")
	for label := range strings.SplitSeq(host, ".") {
		label = strings.TrimPrefix(strings.TrimPrefix(label, "s3-fips-"), "s3-")
		if strings.Count(label, "-") >= 2 && strings.ContainsAny(label[len(label)-1:], "0123456789") {
			return label
		}
	}
	return ""
}
