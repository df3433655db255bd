package command

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

func snapshotCommand() *cli.Command { return snapshotCommandWith(openSnapshots, sourceFlags()) }

// openSnapshots is the session of a real run.
func openSnapshots(c *cli.Context, readOnly bool) (*snapshotSession, error) {
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn}))
	from, err := openBucket(c, "", log)
	if err != nil {
		return nil, err
	}
	cfg := snapshot.Config{
		Source: from.bucket, Direct: from.client, SourceName: from.binding.Bucket, Prefix: c.String("prefix"),
		PID: os.Getpid(), Tool: "cgs3fs " + version(), Log: log, ReadOnly: readOnly,
		Parallel: controlRequests,
	}
	cfg.Host, _ = os.Hostname()
	to := from
	if c.String("in") != "" || c.String("in-credentials") != "" || c.String("in-space") != "" {
		if to, err = openPlace(c, from, log); err != nil {
			return nil, err
		}
		if oneBucket(from.binding, to.binding) {
			to = from
		}
	}
	if to != from {
		cfg.Dest, cfg.DestName = to.bucket, to.binding.Bucket
	}
	if strings.HasSuffix(to.binding.Plan, "-sandbox") && makesOne(c) {
		notef(c, "cf delete-service removes the bucket of a sandbox plan with all snapshots in it; --in puts them elsewhere")
	}
	store, err := snapshot.Open(cfg)
	if err != nil {
		return nil, err
	}
	return &snapshotSession{
		cfg: cfg, store: store, out: c.App.Writer, err: c.App.ErrWriter,
		terminal: isTerminal(os.Stderr), now: time.Now,
		openOther: func(address string) (otherBucket, error) { return openAddress(c, address, log, from, to) },
	}, nil
}

// makesOne says whether the command makes a snapshot, also without "create".
func makesOne(c *cli.Context) bool {
	return c.Command.Name == "create" || c.Command.Name == "snapshot"
}

func oneBucket(a, b creds.Binding) bool { return a.Bucket == b.Bucket && a.Endpoint == b.Endpoint }

// openPlace opens the bucket that --in and its companions mean: with the
// credentials of the source, unless there are others.
func openPlace(c *cli.Context, from *opened, log *slog.Logger) (*opened, error) {
	r, err := requestOf(c, "", log)
	if err != nil {
		return nil, err
	}
	r.Prefix = ""
	in, file := c.String("in"), c.String("in-credentials")
	bucket, isURL := strings.CutPrefix(in, "s3://")
	bucket = strings.TrimSuffix(bucket, "/")
	switch {
	case isURL && strings.Contains(bucket, "/"):
		return nil, usagef("--in %q has a prefix", in).try("--prefix names the prefix of the snapshots")
	case isURL && file == "" && c.String("in-space") == "" && usable(from.binding, bucket):
		b := from.binding
		b.Bucket = bucket
		return connect(c, b, log)
	}
	r.File, r.Service, r.Bucket, r.App, r.Key = file, in, "", "", ""
	if isURL {
		r.Service, r.Bucket = "", bucket
	}
	if space := c.String("in-space"); space != "" {
		r.Space = space
	}
	b, err := creds.Find(c.Context, r)
	if err != nil {
		return nil, err
	}
	o, err := connect(c, b, log)
	if err == nil && !oneBucket(b, from.binding) && !usable(from.binding, b.Bucket) && b.Service != "" && makesOne(c) {
		notef(c, "if the server may not copy between the two buckets, everything goes through this machine; one key for both makes the server copy:\n"+
			"  cf share-service %s -s SPACE\n"+
			"  cf create-service-key %s both -c '{\"additional_instances\":[%q]}'", b.Service, from.binding.Service, b.Service)
	}
	return o, err
}

// usable says whether the key that was found is for that bucket, too, or where
// it came from cannot tell.
func usable(b creds.Binding, bucket string) bool {
	return bucket == b.Bucket || b.Service == "" || slices.Contains(b.AdditionalBuckets, bucket)
}

// openAddress opens s3://BUCKET/PREFIX: one of the buckets that are known, or
// another with the key of the last of them.
func openAddress(c *cli.Context, address string, log *slog.Logger, known ...*opened) (otherBucket, error) {
	rest, isURL := strings.CutPrefix(address, "s3://")
	if !isURL {
		return otherBucket{}, usagef("%q is no address such as s3://BUCKET/PREFIX/", address)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	var b creds.Binding
	for _, o := range known {
		if b = o.binding; b.Bucket == bucket {
			return otherBucket{o.bucket, o.client, bucket, prefix}, nil
		}
	}
	b.Bucket = bucket
	o, err := connect(c, b, log)
	if err != nil {
		return otherBucket{}, err
	}
	return otherBucket{o.bucket, o.client, bucket, prefix}, nil
}
