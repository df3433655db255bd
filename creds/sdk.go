package creds

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// chainTime is how long the SDK's chain may look for credentials. Its last link
// asks a metadata server that most machines don't have.
const chainTime = 10 * time.Second

// sdkChain is where the AWS SDK looks by itself: variables, ~/.aws, single
// sign-on, web identity, containers, instances. It alone reads the process's
// own environment, not Request.Getenv.
type sdkChain struct{ Request }

func (s sdkChain) named() bool { return true }

func (s sdkChain) find(ctx context.Context) ([]candidate, error) { return repeatable(ctx, s.look) }

func (s sdkChain) look(ctx context.Context) ([]candidate, error) {
	source := "AWS configuration"
	var options []func(*config.LoadOptions) error
	if s.Profile != "" {
		source = "AWS profile " + s.Profile
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	ctx, cancel := context.WithTimeout(ctx, chainTime)
	defer cancel()
	// The SDK's errors are not shown: they may quote the files.
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, s.failed(source + " can't be read")
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil || !keys.HasKeys() {
		return nil, s.failed(source + " has no credentials")
	}
	keys.Source = source
	f := fields{
		bucket: s.Bucket, region: cfg.Region,
		endpoint: firstOf(s.Getenv, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
	}
	fill(&f.endpoint, aws.ToString(cfg.BaseEndpoint))
	address, err := resolveAddress(f)
	if err != nil {
		return nil, &Error{Kind: ErrInvalid, Text: source, Err: err, Advice: "correct endpoint_url"}
	}
	return []candidate{{
		Binding: Binding{
			Bucket: s.Bucket, Region: address.region, Endpoint: address.endpoint, PathStyle: address.pathStyle,
			Source: source,
		},
		keys: keys,
	}}, nil
}

// failed is an answer to a profile that was asked for, and a reason to go on
// otherwise.
func (s sdkChain) failed(text string) error {
	if s.Profile == "" {
		return notHere("%s", text)
	}
	return &Error{Kind: ErrNotFound, Text: text, Advice: "see aws configure list --profile " + s.Profile}
}
