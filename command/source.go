package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

// sourceFlags name a bucket; every command that talks to one has them.
func sourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "service", Category: categorySource, Usage: "the Cloud Foundry service instance `NAME`"},
		&cli.StringFlag{Name: "key", Category: categorySource, Usage: "its service key `NAME`; by default the newest"},
		&cli.BoolFlag{Name: "create-key", Category: categorySource, Usage: "make a service key for this host if there is none", DisableDefaultText: true},
		&cli.StringFlag{Name: "app", Category: categorySource, Usage: "what the app `NAME` is bound to"},
		&cli.StringFlag{Name: "org", Category: categorySource, Usage: "organization `NAME`, instead of cf target's"},
		&cli.StringFlag{Name: "space", Category: categorySource, Usage: "space `NAME`, instead of cf target's"},
		&cli.StringFlag{Name: "credentials", Category: categorySource, Usage: "a `FILE` with VCAP_SERVICES, or what cf env or cf service-key print; - reads standard input"},
		&cli.StringFlag{Name: "bucket", Category: categorySource, Usage: "the bucket `NAME`; also one of the service's additional buckets"},
		&cli.StringFlag{Name: "prefix", Category: categorySource, Usage: "only keys below `PREFIX/`"},
		&cli.StringFlag{Name: "endpoint-url", Category: categorySource, Usage: "the server's `URL`"},
		&cli.StringFlag{Name: "region", Category: categorySource, Usage: "the bucket's `REGION`"},
		&cli.StringFlag{Name: "profile", Category: categorySource, Usage: "the `NAME` of a profile in ~/.aws"},
		&cli.BoolFlag{Name: "path-style", Category: categorySource, Usage: "server/bucket/key addresses; by default as the server needs", DisableDefaultText: true},
		caBundleFlag(),
	}
}

func caBundleFlag() cli.Flag {
	return &cli.StringFlag{Name: "ca-bundle", Category: categorySource, Usage: "a `FILE` of certificates to trust", EnvVars: []string{"AWS_CA_BUNDLE"}}
}

// spaceFlags name a space, for commands about its services.
func spaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "org", Category: categorySource, Usage: "organization `NAME`, instead of cf target's"},
		&cli.StringFlag{Name: "space", Category: categorySource, Usage: "space `NAME`, instead of cf target's"},
		caBundleFlag(),
	}
}

const categorySource = "Which bucket:"

// unsetVariable is the hint where something is empty: what the user did not name
// must not become another bucket or another directory.
const unsetVariable = "is a variable of the shell not set?"

// requestOf is what the flags ask for. A positional argument may name the
// service, or the bucket as s3://BUCKET/PREFIX/.
func requestOf(c *cli.Context, positional string, log *slog.Logger) (creds.Request, error) {
	for _, name := range []string{"bucket", "service", "key", "app", "org", "space", "credentials", "profile"} {
		if c.IsSet(name) && c.String(name) == "" {
			return creds.Request{}, usagef("--%s is empty", name).try(unsetVariable)
		}
	}
	r := creds.Request{
		Bucket: c.String("bucket"), Prefix: c.String("prefix"),
		EndpointURL: c.String("endpoint-url"), Region: c.String("region"), Profile: c.String("profile"),
		File: c.String("credentials"), Service: c.String("service"), Key: c.String("key"),
		CreateKey: c.Bool("create-key"), App: c.String("app"), Org: c.String("org"), Space: c.String("space"),
		Getenv: os.Getenv, Stdin: c.App.Reader, Log: log,
		Progress: func(text string) { notef(c, "%s", text) },
	}
	r.HomeDir, _ = os.UserHomeDir()
	r.HostName, _ = os.Hostname()
	if c.IsSet("path-style") {
		style := c.Bool("path-style")
		r.PathStyle = &style
	}
	if err := positionalSource(&r, positional); err != nil {
		return r, err
	}
	if r.Prefix = strings.TrimPrefix(r.Prefix, "/"); r.Prefix != "" && !strings.HasSuffix(r.Prefix, "/") {
		r.Prefix += "/"
	}
	return r, nil
}

func positionalSource(r *creds.Request, arg string) error {
	rest, isURL := strings.CutPrefix(arg, "s3://")
	switch {
	case arg == "":
	case isURL:
		bucket, prefix, _ := strings.Cut(rest, "/")
		if bucket == "" {
			return usagef("%q names no bucket", arg).try(unsetVariable)
		}
		if r.Bucket != "" && r.Bucket != bucket {
			return usagef("%q and --bucket %q contradict each other", arg, r.Bucket)
		}
		if r.Prefix != "" && prefix != "" {
			return usagef("%q and --prefix contradict each other", arg)
		}
		r.Bucket = bucket
		if prefix != "" {
			r.Prefix = prefix
		}
	case strings.Contains(arg, "://"):
		return usagef("%q is neither a bucket nor a service", arg).try("a bucket is written s3://BUCKET/PREFIX/")
	case r.Service != "" && r.Service != arg:
		return usagef("%q and --service %q contradict each other", arg, r.Service)
	default:
		r.Service = arg
	}
	return nil
}

// opened is a bucket that a command works with.
type opened struct {
	binding creds.Binding
	client  *s3.Client
	bucket  s3.Bucket // client with limits, retries and counting
	counts  *requestCounts
	trouble *trouble
}

// source says where the key of now was found: it may be the second since the
// bucket was opened.
func (o *opened) source() string {
	if p, ok := o.binding.Credentials.(*creds.Provider); ok {
		return p.Source()
	}
	return o.binding.Source
}

// keyID is the access key id of now.
func (o *opened) keyID() string {
	if p, ok := o.binding.Credentials.(*creds.Provider); ok {
		return p.KeyID()
	}
	return ""
}

// openBucket finds the bucket that the flags mean and checks that it answers.
func openBucket(c *cli.Context, positional string, log *slog.Logger) (*opened, error) {
	r, err := requestOf(c, positional, log)
	if err != nil {
		return nil, err
	}
	b, err := creds.Find(c.Context, r)
	if err != nil {
		return nil, err
	}
	return connect(c, b, log)
}

// connect opens a bucket and asks it for something harmless, so that a wrong
// key or address is known before anything is begun.
func connect(c *cli.Context, b creds.Binding, log *slog.Logger) (*opened, error) {
	cfg, err := s3Config(c, b, log)
	if err != nil {
		return nil, err
	}
	trouble := newTrouble()
	cfg.WrapTransport = trouble.watch
	client, err := s3.Open(cfg)
	if err != nil {
		return nil, usagef("%w", err)
	}
	o := &opened{binding: b, client: client, counts: newRequestCounts(), trouble: trouble}
	check := func(ctx context.Context) error { return askAgain(ctx, client.Check, sleep) }
	if b.Fresh {
		notef(c, "made the service key %s; waiting until S3 knows it", b.Key)
		check = func(ctx context.Context) error { return awaitKey(ctx, client.Check, sleep) }
	}
	if err := check(c.Context); err != nil {
		return nil, checkError(b, err)
	}
	see := func(e s3.Event) {
		o.counts.add(e)
		o.trouble.see(e)
	}
	o.bucket = s3.Retry(s3.Limit(s3.Observe(client, see), s3.Limits{Control: controlRequests, Data: dataRequests}), s3.RetryConfig{
		Refresh: refresher(b), Log: log,
	})
	return o, nil
}

// askAgain makes a check up to three times where the server answers that it has
// trouble: that passes, and a mount at boot should not fail for it. A server
// that does not answer at all is said at once.
func askAgain(ctx context.Context, check func(context.Context) error, sleep func(context.Context, time.Duration) error) error {
	for pause := time.Second; ; pause *= 2 {
		err := check(ctx)
		var e *s3.Error
		if !errors.As(err, &e) || e.Status < 500 && !errors.Is(err, s3.ErrThrottled) || pause > 2*time.Second {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Requests in flight at once: few enough for a laptop's line and a small
// server, enough to hide 100 ms of latency from a thousand small files.
const (
	controlRequests = 96
	dataRequests    = 48
)

func s3Config(c *cli.Context, b creds.Binding, log *slog.Logger) (s3.Config, error) {
	cfg := s3.Config{
		Bucket: b.Bucket, Region: b.Region, Endpoint: b.Endpoint,
		Credentials: b.Credentials, InsecureSkipVerify: b.InsecureSkipVerify,
		UserAgent: "cgs3fs/" + version(), Log: log,
	}
	if b.PathStyle {
		cfg.PathStyle = s3.Always
	}
	if c.IsSet("path-style") && !c.Bool("path-style") {
		cfg.PathStyle = s3.Never
	}
	if b.InsecureSkipVerify {
		notef(c, "the service says that the server's certificate can't be checked: whoever is on the way can read and change everything")
	}
	if file := c.String("ca-bundle"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return cfg, usagef("--ca-bundle: %w", err)
		}
		cfg.CABundle = pem
	}
	return cfg, nil
}

// refresher asks the source of the credentials again, for s3.Retry.
func refresher(b creds.Binding) func(context.Context) error {
	p, ok := b.Credentials.(*creds.Provider)
	if !ok {
		return nil
	}
	return p.Refresh
}

// checkError says what a failed first request means to the user.
func checkError(b creds.Binding, err error) error {
	e := fail(statusOf(err), "bucket %s: %w", b.Bucket, err)
	switch {
	case errors.Is(err, s3.ErrCredentials):
		return e.try("the key came from %s; is it still there, and the secret whole?", b.Source)
	case errors.Is(err, s3.ErrDenied):
		return e.try("the key from %s may not use this bucket", b.Source)
	case errors.Is(err, s3.ErrNoBucket):
		return e.try("check the bucket's name and the region; the key came from %s", b.Source)
	case errors.Is(err, s3.ErrRegion):
		return e.try("the server does not say which: name it with --region, and --endpoint-url if each region has its own")
	case errors.Is(err, s3.ErrUntrusted):
		return e.try("--ca-bundle FILE adds certificates to trust; a server without TLS has an address with http://")
	case errors.Is(err, s3.ErrUnavailable):
		return e.try("is %s reachable from here (network, proxy, VPN)?", endpointOf(b))
	}
	return e
}

func endpointOf(b creds.Binding) string {
	if b.Endpoint != "" {
		return b.Endpoint
	}
	return fmt.Sprintf("S3 in region %q", b.Region)
}
