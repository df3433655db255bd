package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

// bucket looks for the bucket, at the way to its server, and at what the key may
// do. It reports whether there is a bucket.
func (e *examination) bucket(c *cli.Context) bool {
	r, err := requestOf(c, c.Args().First(), notices(c))
	if err != nil {
		e.fail("bucket", err)
		return false
	}
	b, err := creds.Find(c.Context, r)
	if err != nil {
		e.fail("bucket", err)
		return false
	}
	e.ok("bucket", "%s, from %s", b.Bucket, b.Source)
	cfg, err := s3Config(c, b, notices(c))
	if err != nil {
		e.fail("key", err)
		return true
	}
	client, err := s3.Open(cfg)
	if err != nil {
		e.fail("endpoint", err)
		return true
	}
	defer client.CloseIdle()
	e.network(c.Context, b)
	if err := client.Check(c.Context); err != nil {
		e.fail("key", checkError(b, err))
		if !errors.Is(err, s3.ErrDenied) {
			return true
		}
	} else {
		e.ok("key", "S3 accepts it, and it may list the bucket")
	}
	e.permissions(c.Context, b, client)
	e.uploads(c.Context, client)
	if c.Bool("write-test") {
		e.writeTest(c.Context, client)
	} else {
		e.skip("writing", "not tried, and so neither conditional writes nor checksums; --write-test does")
	}
	return true
}

// network looks up the server's name, tells about a proxy, and compares clocks.
func (e *examination) network(ctx context.Context, b creds.Binding) {
	endpoint := b.Endpoint
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		e.fail("endpoint", err)
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, endpoint, nil)
	if err != nil {
		e.fail("endpoint", err)
		return
	}
	via := "directly"
	if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
		via = "through the proxy " + proxy.Host
	} else {
		lookup, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		if _, err := net.DefaultResolver.LookupHost(lookup, u.Hostname()); err != nil {
			e.fail("endpoint", fail(exitUnavailable, "the name %s is not known here: %w", u.Hostname(), err).try("check the network, VPN and DNS, or set HTTPS_PROXY"))
			return
		}
	}
	e.ok("endpoint", "%s, %s", endpoint, via)
	e.clock(req, b.InsecureSkipVerify)
}

// skewLimit is how wrong the clock may be: S3 refuses requests that are more
// than 15 minutes off.
const skewLimit = 5 * time.Minute

// clock compares this machine's clock with the Date of any answer; whether the
// server likes the request doesn't matter.
func (e *examination) clock(req *http.Request, skipVerify bool) {
	client, err := plainClient(creds.Binding{InsecureSkipVerify: skipVerify}, "")
	if err != nil {
		e.fail("clock", err)
		return
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(req.Context(), probeTime)
	defer cancel()
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		e.skip("clock", "not compared: the server does not answer an unsigned request")
		return
	}
	res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		e.skip("clock", "not compared: the server tells no time")
		return
	}
	skew := time.Since(date).Round(time.Second)
	if skew.Abs() > skewLimit {
		e.warn("clock", "set it, for example with timedatectl set-ntp true", "this machine's clock is %s off the server's", skew.Abs())
		return
	}
	e.ok("clock", "within %s of the server's", max(skew.Abs(), time.Second))
}

// permissions tries harmless requests, one for each thing that is to work.
func (e *examination) permissions(ctx context.Context, b creds.Binding, client *s3.Client) {
	missing := ".cgs3fs-doctor-" + rand.Text() // no such object
	_, err := client.Head(ctx, missing)
	e.may("reading", "objects can be read", "the key may not read objects", err)
	_, err = client.GetTags(ctx, missing, "")
	e.may("tags", "tags can be read, so copies keep them", "the key may not read tags: copies lose them", err)
	_, err = client.GetCORS(ctx)
	e.may("cors", "CORS rules can be read", "the key may not read CORS rules", err)
	versioning, err := client.Versioning(ctx)
	e.may("versioning", "the bucket's versioning: "+versioningText(versioning), "the key may not ask whether the bucket keeps old versions", err)
	public, err := client.Public(ctx)
	switch {
	case public || b.Public():
		e.warn("public", "keep nothing in it that is not for everybody", "everybody on the internet can read every object of this bucket")
	default:
		e.may("public", "the bucket is not public by its policy", "the key may not read the bucket's policy", err)
	}
}

// may reports an attempt. That the object is not there is as good as success.
func (e *examination) may(check, good, bad string, err error) {
	switch {
	case err == nil || errors.Is(err, s3.ErrNotFound):
		e.ok(check, "%s", good)
	case errors.Is(err, s3.ErrDenied):
		e.warn(check, "old keys keep old permissions: cgs3fs rotate SERVICE makes a new one", "%s", bad)
	case errors.Is(err, s3.ErrUnsupported):
		e.skip(check, "this server can't do it")
	default:
		e.fail(check, err)
	}
}

// maxSized is how many leftover uploads are measured, with a request each.
const maxSized = 50

// uploads looks for multipart uploads that nobody has finished. They cost money
// and are seen in no listing.
func (e *examination) uploads(ctx context.Context, client *s3.Client) {
	found, err := client.ListUploads(ctx, "")
	if err != nil {
		e.may("uploads", "", "the key may not list unfinished uploads", err)
		return
	}
	if len(found) == 0 {
		e.ok("uploads", "no unfinished uploads")
		return
	}
	var size int64
	oldest := time.Now()
	for i, u := range found {
		if u.Initiated.Before(oldest) {
			oldest = u.Initiated
		}
		if i >= maxSized {
			continue
		}
		upload, err := client.ResumeUpload(ctx, u.Key, u.ID, s3.PutOptions{})
		if err != nil {
			continue // finished or gone in the meantime
		}
		for _, p := range upload.Parts() {
			size += p.Size
		}
	}
	measured := humanize.IBytes(uint64(size))
	if len(found) > maxSized {
		measured = "at least " + measured
	}
	e.warn("uploads", "the next mount clears away its own; others may still be under way", "%s unfinished, the oldest begun %s, %s",
		plural(len(found), "upload"), humanize.Time(oldest), measured)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
