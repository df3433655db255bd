package capi

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says where the login is and what the client may use. Only Getenv must
// be set.
type Config struct {
	Getenv    func(string) string
	HomeDir   string                                            // where .cf is unless CF_HOME says; empty is HOME
	Transport http.RoundTripper                                 // nil: proxies from the environment, certificates as the login says
	RunCF     func(ctx context.Context) (token string, e error) // "cf oauth-token"; nil: the cf on PATH
	Log       *slog.Logger                                      // nil: none
	Progress  func(string)                                      // told in a few words what a long wait is for; may be nil
	Now       func() time.Time                                  // nil: time.Now
	Sleep     func(context.Context, time.Duration) error        // nil: until the time is over or the context ends
}

// Client talks to one Cloud Controller as one user. It is safe for concurrent
// use.
type Client struct {
	cfg    Config
	path   string // of cf's config.json
	login  cfConfig
	http   *http.Client
	mu     sync.Mutex // held while a token is renewed
	token  string     // guarded by mu; without "bearer"
	denied string     // guarded by mu; a token that the server refused
}

// Target is what "cf target" shows. Org and Space may be empty.
type Target struct {
	API                            string // URL of the Cloud Controller
	Org, OrgGUID, Space, SpaceGUID string
}

// Session is who is logged in.
type Session struct {
	User         string    // or the id of the client
	TokenExpires time.Time // of the access token; zero if it doesn't say
	Renewable    bool      // there is a refresh token
}

// Open reads the login of cf. Without one the error is ErrLoggedOut. Nothing is
// asked of the network yet.
func Open(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	path := configPath(cfg.Getenv, cfg.HomeDir)
	login, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	if login.SSLDisabled {
		cfg.Log.Warn("cf was told to skip certificates (--skip-ssl-validation); so does this program", "api", login.Target)
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport(login.SSLDisabled)
	}
	return &Client{
		cfg: cfg, path: path, login: login,
		http: &http.Client{Transport: transport, Timeout: requestTime},
	}, nil
}

// requestTime bounds one request. Listing a large space takes a Cloud
// Controller a few seconds.
const requestTime = time.Minute

// dialTime bounds making a connection, so that a network that swallows packets
// is known for what it is within a minute of tries.
const dialTime = 10 * time.Second

func newTransport(skipVerify bool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTime}).DialContext
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerify}
	return t
}

func (cfg Config) withDefaults() Config {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.RunCF == nil {
		cfg.RunCF = runCF(cfg)
	}
	return cfg
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter spreads d over half to one and a half of itself, so that many clients
// don't come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}

// Target returns what cf is pointed at.
func (c *Client) Target() Target {
	return Target{
		API: c.login.Target,
		Org: c.login.OrganizationFields.Name, OrgGUID: c.login.OrganizationFields.GUID,
		Space: c.login.SpaceFields.Name, SpaceGUID: c.login.SpaceFields.GUID,
	}
}

// Session makes sure of a valid token and says whose it is.
func (c *Client) Session(ctx context.Context) (Session, error) {
	token, err := c.validToken(ctx)
	if err != nil {
		return Session{}, err
	}
	claims := readToken(token)
	s := Session{User: claims.UserName, TokenExpires: expiry(token), Renewable: c.login.RefreshToken != ""}
	if s.User == "" {
		s.User = claims.ClientID
	}
	return s, nil
}
