package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

func servicesCommand() *cli.Command {
	return &cli.Command{
		Name:         "services",
		Usage:        "list the S3 services of the Cloud Foundry space",
		ArgsUsage:    "[SERVICE]",
		Flags:        append([]cli.Flag{jsonFlag()}, spaceFlags()...),
		OnUsageError: usageError,
		BashComplete: completeServices,
		Action:       servicesAction,
	}
}

// serviceRow is one service as --json prints it. Public and Versioning are "yes",
// "no" or "unknown", and "enabled", "suspended", "never" or "unknown".
type serviceRow struct {
	Name       string       `json:"name"`
	Offering   string       `json:"offering,omitempty"`
	Plan       string       `json:"plan,omitempty"`
	Shared     bool         `json:"shared,omitempty"`
	Bucket     string       `json:"bucket,omitempty"`
	Additional []string     `json:"additional_buckets,omitempty"`
	Region     string       `json:"region,omitempty"`
	Endpoint   string       `json:"endpoint,omitempty"`
	Keys       []serviceKey `json:"keys"`
	Public     string       `json:"public"`
	Versioning string       `json:"versioning"`
	Problem    string       `json:"problem,omitempty"` // why something is unknown
}

type serviceKey struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

func servicesAction(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("%q: services takes one name", c.Args().Get(1))
	}
	r := creds.Request{
		Service: c.Args().First(), Org: c.String("org"), Space: c.String("space"),
		Getenv: os.Getenv, Log: notices(c),
	}
	r.HomeDir, _ = os.UserHomeDir()
	found, err := creds.Services(c.Context, r)
	if err != nil {
		return err
	}
	rows := make([]serviceRow, len(found))
	g, ctx := errgroup.WithContext(c.Context)
	g.SetLimit(8)
	for i, s := range found {
		g.Go(func() error {
			rows[i] = describeService(ctx, c, s)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, rows)
	}
	if len(rows) == 0 {
		notef(c, "no S3 service in this space")
		return nil
	}
	return printServices(c.App.Writer, rows)
}

// probeTime bounds what is asked of one bucket for one line of output.
const probeTime = 10 * time.Second

// describeService asks the bucket itself what the Cloud Controller doesn't know.
func describeService(ctx context.Context, c *cli.Context, s creds.Service) serviceRow {
	row := serviceRow{
		Name: s.Name, Offering: s.Offering, Plan: s.Plan, Shared: s.Shared,
		Keys: []serviceKey{}, Public: "unknown", Versioning: "unknown",
	}
	for _, k := range s.Keys {
		row.Keys = append(row.Keys, serviceKey(k))
	}
	if s.Public {
		row.Public = "yes"
	}
	if s.Binding == nil {
		row.Problem = s.Err.Error()
		return row
	}
	b := *s.Binding
	row.Bucket, row.Additional, row.Region, row.Endpoint = b.Bucket, b.AdditionalBuckets, b.Region, b.Endpoint
	if err := describeBucket(ctx, c, b, &row); err != nil {
		row.Problem = err.Error()
	}
	return row
}

func describeBucket(ctx context.Context, c *cli.Context, b creds.Binding, row *serviceRow) error {
	cfg, err := s3Config(c, b, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	client, err := s3.Open(cfg)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if err := client.Check(ctx); err != nil {
		return err
	}
	versioning, err := client.Versioning(ctx)
	if err != nil {
		return err
	}
	row.Versioning = versioningText(versioning)
	if row.Public == "yes" {
		return nil
	}
	public, err := client.Public(ctx)
	if err == nil {
		row.Public = yesNo(public)
	}
	return err
}

func versioningText(v s3.VersioningState) string {
	if v == "" {
		return "never"
	}
	return strings.ToLower(string(v))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func printServices(w io.Writer, rows []serviceRow) error {
	table := [][]string{{"NAME", "PLAN", "BUCKET", "ALSO OPENS", "KEYS", "PUBLIC", "VERSIONING"}}
	var problems strings.Builder
	for _, r := range rows {
		var keys []string
		for _, k := range r.Keys {
			name := k.Name
			if k.State != "ready" {
				name += " (" + k.State + ")"
			}
			keys = append(keys, name)
		}
		table = append(table, []string{
			r.Name, dash(r.Plan), dash(r.Bucket), dash(strings.Join(r.Additional, ",")),
			dash(strings.Join(keys, ",")), r.Public, r.Versioning,
		})
		if r.Problem != "" {
			fmt.Fprintf(&problems, "%s: %s\n", r.Name, r.Problem)
		}
	}
	if err := printTable(w, table); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, problems.String())
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
