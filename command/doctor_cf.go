package command

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/creds/capi"
)

// cloudFoundry looks at the login, the marketplace and the services. Without a
// login that is a warning if a bucket was found all the same.
func (e *examination) cloudFoundry(c *cli.Context, found bool) {
	home, _ := os.UserHomeDir()
	api, err := capi.Open(capi.Config{Getenv: os.Getenv, HomeDir: home, Log: notices(c)})
	var session capi.Session
	if err == nil {
		session, err = api.Session(c.Context)
	}
	switch {
	case err != nil && found && errors.Is(err, capi.ErrLoggedOut):
		e.skip("cf login", "%v; the bucket was found without it", err)
		return
	case err != nil:
		e.fail("cf login", err)
		return
	}
	t := api.Target()
	renews := "and is renewed by itself"
	if !session.Renewable {
		renews = "and can't be renewed"
	}
	e.ok("cf login", "%s at %s, org %s, space %s; the token is good for %s %s", session.User, t.API,
		dash(t.Org), dash(t.Space), time.Until(session.TokenExpires).Round(time.Second), renews)
	if t.SpaceGUID == "" {
		e.warn("cf space", "cf target -o ORG -s SPACE", "no space is targeted")
		return
	}
	e.marketplace(c, api, t)
	e.services(c, home)
}

func (e *examination) marketplace(c *cli.Context, api *capi.Client, t capi.Target) {
	offerings, err := api.Offerings(c.Context, t.SpaceGUID)
	if err != nil {
		e.fail("cf marketplace", err)
		return
	}
	for _, o := range offerings {
		if creds.IsS3(o.Name, o.Tags) {
			e.ok("cf marketplace", "offers %s with the plans %s", o.Name, strings.Join(o.Plans, ", "))
			return
		}
	}
	e.warn("cf marketplace", "ask the people who run the foundation", "offers no S3 service in space %s", t.Space)
}

func (e *examination) services(c *cli.Context, home string) {
	names, err := creds.ServiceNames(c.Context, creds.Request{Getenv: os.Getenv, HomeDir: home, Log: notices(c)})
	switch {
	case err != nil:
		e.fail("cf services", err)
	case len(names) == 0:
		e.warn("cf services", "cf create-service s3 basic NAME", "no S3 service in this space")
	default:
		e.ok("cf services", "%s", strings.Join(names, ", "))
	}
}
