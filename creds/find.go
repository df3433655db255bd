package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Request says which bucket is meant and where the program may look. Only
// Getenv must be set; an empty Request means "the one that is there".
type Request struct {
	Bucket      string // --bucket, or of s3://BUCKET
	Prefix      string // keys below it are meant
	EndpointURL string // --endpoint-url: overrides what the source says, as do the next two
	Region      string // --region
	PathStyle   *bool  // --path-style; nil: as the endpoint needs it
	Profile     string // --profile of the AWS SDK's files
	File        string // --credentials: a path, or "-" for Stdin
	Service     string // --service: name of a service instance
	Key         string // --key: name of one of its service keys; empty is the newest that works
	CreateKey   bool   // --create-key: make one if there is none
	App         string // --app: take what this app is bound to
	Org, Space  string // --org, --space: instead of what "cf target" shows

	Getenv   func(string) string
	HomeDir  string    // where .cf is unless CF_HOME says; empty is HOME
	HostName string    // names the key that CreateKey makes
	Stdin    io.Reader // for File "-"
	Log      *slog.Logger
	Progress func(string)     // told in a few words what long work waits for; may be nil
	Now      func() time.Time // nil is time.Now

	// For tests of this package.
	runCF func(context.Context) (string, error)
	sleep func(context.Context, time.Duration) error
}

// source is a place where buckets may be found.
type source interface {
	// find returns all that could be meant; ErrNotHere if the source does not
	// apply.
	find(ctx context.Context) ([]candidate, error)

	// named tells whether the user asked for this source: then a bucket that it
	// doesn't know is taken on the user's word.
	named() bool
}

// Find returns the one bucket that the request means. Where it could mean
// several the error is ErrAmbiguous and lists them. Errors are *Error values
// and hold no secret.
func Find(ctx context.Context, r Request) (Binding, error) {
	r = r.withDefaults()
	if err := r.check(); err != nil {
		return Binding{}, err
	}
	var skipped []error
	for _, s := range r.sources() {
		c, err := r.findIn(ctx, s)
		if errors.Is(err, ErrNotHere) {
			skipped = append(skipped, err)
			continue
		}
		if err != nil {
			return Binding{}, err
		}
		return r.bind(c), nil
	}
	return Binding{}, r.nothing(skipped)
}

func (r Request) withDefaults() Request {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Progress == nil {
		r.Progress = func(string) {}
	}
	return r
}

// check refuses flags that contradict each other.
func (r Request) check() error {
	cloudFoundry := r.Service+r.Key+r.App+r.Org+r.Space != "" || r.CreateKey
	clash := func(text string) error {
		return &Error{Kind: ErrUsage, Text: text, Advice: "leave one of them out"}
	}
	switch {
	case r.Profile != "" && r.File != "":
		return clash("--profile and --credentials contradict each other")
	case r.Profile != "" && cloudFoundry:
		return clash("--profile and a service of Cloud Foundry contradict each other")
	case r.File != "" && (r.Key+r.App+r.Org+r.Space != "" || r.CreateKey):
		return clash("--credentials contradicts --key, --app, --org, --space and --create-key")
	case r.App != "" && (r.Key != "" || r.CreateKey):
		return clash("--app contradicts --key and --create-key: an app has credentials of its own")
	case r.Key != "" && r.CreateKey:
		return clash("--key and --create-key contradict each other")
	case r.Profile != "" && r.Bucket == "":
		return &Error{Kind: ErrUsage, Text: "--profile needs a bucket", Advice: "add --bucket NAME"}
	case strings.ContainsAny(r.Bucket, "/: \t\n"):
		return &Error{Kind: ErrUsage, Text: fmt.Sprintf("%q is not the name of a bucket", r.Bucket), Advice: "give the name alone, or s3://BUCKET/PREFIX/"}
	}
	if _, err := parseEndpoint(r.EndpointURL); err != nil {
		return &Error{Kind: ErrUsage, Text: "--endpoint-url", Err: err, Advice: "an endpoint looks like https://s3.us-gov-west-1.amazonaws.com"}
	}
	return nil
}

// sources returns where to look, in order; see the package's comment.
func (r Request) sources() []source {
	environment := []source{vcapVariable{r}, vcapFile{r}, bindingRoot{r}}
	switch {
	case r.Profile != "":
		return []source{sdkChain{r}}
	case r.File != "":
		return []source{credentialsFile{r}}
	case r.Key+r.App+r.Org+r.Space != "" || r.CreateKey:
		return []source{&cloudFoundry{Request: r}}
	case r.Service != "":
		return append(environment, &cloudFoundry{Request: r})
	case r.Bucket != "" && (r.EndpointURL != "" || r.Getenv("AWS_PROFILE") != ""):
		// Whoever names a server or a profile does not mean Cloud Foundry.
		return append(environment, awsVariables{r}, sdkChain{r})
	case r.Bucket != "":
		return append(environment, awsVariables{r}, &cloudFoundry{Request: r}, sdkChain{r})
	}
	return append(environment, awsVariables{r}, &cloudFoundry{Request: r})
}

func (r Request) findIn(ctx context.Context, s source) (candidate, error) {
	all, err := s.find(ctx)
	if err != nil {
		return candidate{}, err
	}
	return r.pick(all, s.named())
}

// bind makes the candidate the answer: flags override what the source said, and
// the credentials learn where to ask again.
func (r Request) bind(c candidate) Binding {
	b := c.Binding
	b.Prefix = r.Prefix
	if r.Region != "" {
		b.Region = r.Region
	}
	if r.EndpointURL != "" {
		b.Endpoint, _ = parseEndpoint(r.EndpointURL) // check has seen it
	}
	b.PathStyle = needsPathStyle(b.Endpoint, b.Bucket)
	if r.PathStyle != nil {
		b.PathStyle = *r.PathStyle
	}
	p := newProvider(c.keys, r.Now, nil)
	if c.again != nil {
		p.ask = func(ctx context.Context, rejected keyring) (aws.Credentials, error) {
			fresh, err := c.again(ctx, rejected)
			if err != nil {
				return aws.Credentials{}, fmt.Errorf("asking for newer credentials: %w", err)
			}
			r.Log.Info("credentials read again", "source", fresh.Source, "key", fresh.keys.AccessKeyID)
			return fresh.keys, nil
		}
	}
	b.Credentials = p
	return b
}

// nothing is the error for a search that found no bucket. Of the reasons that
// the sources gave, being logged out comes first: it is what most people can
// mend.
func (r Request) nothing(skipped []error) error {
	e := &Error{
		Kind: ErrNotFound, Text: "no bucket found",
		Advice: "run cf login, or give --credentials FILE, --service NAME or --bucket NAME",
	}
	var reasons []string
	for _, err := range skipped {
		var reason *Error
		if errors.As(err, &reason) && reason.quiet {
			continue
		}
		reasons = append(reasons, err.Error())
		for _, kind := range []error{ErrLoggedOut, ErrUnavailable} {
			if errors.Is(err, kind) {
				e.Kind = kind
			}
		}
	}
	if len(reasons) > 0 {
		e.Text += ": " + strings.Join(reasons, "; ")
	}
	return e
}
