package s3

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
)

// Client is a bucket on a server. It tries each request once; [Retry] is for
// the rest. Beside [Bucket] it is a [CORS], [Tags], [Versions] and [Policy].
type Client struct {
	cfg       Config
	bucket    *string
	endpoint  *url.URL // nil is Amazon's, for the region
	transport *http.Transport
	http      sdk.HTTPClient
	checksums bool
	payer     types.RequestPayer
	conn      atomic.Pointer[connection]
}

// connection is the SDK's client for one region.
type connection struct {
	*sdk.Client
	region string
}

// Open returns a client for the bucket that cfg names. It asks the network
// nothing; see [Client.Check].
func Open(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	endpoint, err := cfg.endpointURL()
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:       cfg,
		bucket:    aws.String(cfg.Bucket),
		endpoint:  endpoint,
		transport: transport,
		checksums: cfg.Checksums.or(isAmazon(endpoint)),
	}
	if cfg.RequesterPays {
		c.payer = types.RequestPayerRequester
	}
	var below http.RoundTripper = transport
	if cfg.WrapTransport != nil {
		below = cfg.WrapTransport(below)
	}
	c.http = &watchdog{below: below, stall: cfg.Timeouts.Stall, finish: cfg.Timeouts.Finish}
	c.connect(cmp.Or(cfg.Region, regionOf(endpoint), "us-east-1"))
	return c, nil
}

// Region returns the region that requests are signed for.
func (c *Client) Region() string { return c.conn.Load().region }

// CloseIdle closes connections that no request uses.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// connect makes all requests from now on go to region.
func (c *Client) connect(region string) {
	o := sdk.Options{
		Region:                     region,
		HTTPClient:                 c.http,
		Retryer:                    aws.NopRetryer{}, // Retry is above all of this
		UsePathStyle:               c.cfg.PathStyle.or(!isAmazon(c.endpoint)),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Logger:                     logging.Nop{},

		DisableLogOutputChecksumValidationSkipped: true,
	}
	if c.checksums {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}
	switch {
	case c.endpoint != nil && !(isAmazon(c.endpoint) && regionOf(c.endpoint) != "" && regionOf(c.endpoint) != region):
		o.BaseEndpoint = aws.String(c.endpoint.String())
	case c.cfg.FIPS:
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	o.Credentials = aws.AnonymousCredentials{}
	if c.cfg.Credentials != nil {
		o.Credentials = provider{c.cfg.Credentials}
	}
	if name, version, _ := strings.Cut(c.cfg.UserAgent, "/"); name != "" {
		o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKeyValue(name, version))
	}
	c.conn.Store(&connection{sdk.New(o), region})
}

func (c *Client) sdk() *sdk.Client { return c.conn.Load().Client }

// provider marks errors of the credentials' source, so that classify knows them.
type provider struct{ aws.CredentialsProvider }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return creds, &credentialsError{err}
	}
	return creds, nil
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// opt is s for the SDK, in which nil means that nothing was said.
func opt(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
