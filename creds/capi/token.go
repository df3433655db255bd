package capi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// validToken returns an access token that is good for another minute, renewing
// it if need be. One call renews at a time.
func (c *Client) validToken(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good(c.token) {
		return c.token, nil
	}
	login, err := c.readLogin()
	if err != nil {
		return "", err
	}
	token := bareToken(login.AccessToken)
	if !c.good(token) {
		if token, err = c.renew(ctx, login); err != nil {
			return "", err
		}
	}
	c.token = token
	return token, nil
}

// readLogin reads the login anew. Its tokens are for the foundation that the
// client was opened for, or for nobody.
func (c *Client) readLogin() (cfConfig, error) {
	login, err := readConfig(c.path)
	if err == nil && login.Target != c.login.Target {
		return cfConfig{}, &Error{
			Kind: ErrLoggedOut, Text: fmt.Sprintf("cf is now logged in to %s, no longer to %s", login.Target, c.login.Target),
			Advice: "log in there again with cf login -a " + c.login.Target,
		}
	}
	return login, err
}

// good must be called with c.mu held.
func (c *Client) good(token string) bool {
	return token != c.denied && usable(token, c.cfg.Now())
}

// refuse remembers that the server did not take a token that looked valid.
func (c *Client) refuse(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denied = token
}

// renew gets a new access token. It must be called with c.mu held.
func (c *Client) renew(ctx context.Context, login cfConfig) (string, error) {
	if login.UAAGrantType == "client_credentials" {
		return c.renewClient(ctx, login)
	}
	printed, cfErr := c.cfg.RunCF(ctx)
	if token := bareToken(printed); cfErr == nil && c.good(token) {
		return token, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	c.cfg.Log.Debug("cf oauth-token gave no token", "err", cfErr)
	return c.renewUser(ctx)
}

// renewClient renews the login of a client with an id and a secret. cf does not
// keep the secret, so it must come from CF_USERNAME and CF_PASSWORD, from which
// cf auth takes it too.
func (c *Client) renewClient(ctx context.Context, login cfConfig) (string, error) {
	secret := login.UAAOAuthClientSecret
	if secret == "" && c.cfg.Getenv("CF_USERNAME") == login.UAAOAuthClient {
		secret = c.cfg.Getenv("CF_PASSWORD")
	}
	if secret == "" {
		return "", &Error{
			Kind: ErrLoggedOut, Text: "the session of client " + login.UAAOAuthClient + " is over",
			Advice: "run cf auth --client-credentials again, or set CF_USERNAME and CF_PASSWORD to the client's id and secret",
		}
	}
	answer, err := c.grant(ctx, login, login.UAAOAuthClient, secret, url.Values{"grant_type": {"client_credentials"}})
	return answer.AccessToken, err
}

// renewUser does what cf oauth-token does, and is careful about the order; see
// the package's comment.
func (c *Client) renewUser(ctx context.Context) (string, error) {
	unlock, err := c.lockConfig(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	login, err := c.readLogin()
	if err != nil {
		return "", err
	}
	if token := bareToken(login.AccessToken); c.good(token) {
		return token, nil // somebody else was faster
	}
	if login.RefreshToken == "" {
		return "", loggedOut("the session of cf is over")
	}
	writer, err := newTokenWriter(c.path)
	if err != nil {
		return "", err
	}
	defer writer.close()
	id := login.UAAOAuthClient
	if id == "" {
		id = "cf"
	}
	answer, err := c.grant(ctx, login, id, login.UAAOAuthClientSecret,
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {login.RefreshToken}})
	if changed, readErr := c.readLogin(); readErr == nil && changed.RefreshToken != login.RefreshToken {
		if token := bareToken(changed.AccessToken); c.good(token) {
			return token, nil // cf has renewed it, or logged in anew, meanwhile
		}
	}
	if err != nil {
		return "", err
	}
	if answer.RefreshToken == "" {
		answer.RefreshToken = login.RefreshToken
	}
	if err := writer.write("bearer "+answer.AccessToken, answer.RefreshToken); err != nil {
		c.cfg.Log.Warn("the renewed session could not be saved; cf may ask for a login", "file", c.path, "err", err)
	}
	return answer.AccessToken, nil
}

// lockConfig keeps other runs of this program from renewing at the same time.
// The directory itself is locked; cf doesn't lock at all.
func (c *Client) lockConfig(ctx context.Context) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(c.path))
	if err != nil {
		return nil, &Error{Kind: ErrDenied, Text: "reading the login of cf", Err: err}
	}
	deadline := c.cfg.Now().Add(requestTime)
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || c.cfg.Now().After(deadline) {
			return func() { dir.Close() }, nil // a file system without locks, or a stuck run: go on without
		}
		if err := c.cfg.Sleep(ctx, 50*time.Millisecond); err != nil {
			dir.Close()
			return nil, err
		}
	}
}

// tokenAnswer is what the UAA's /oauth/token returns.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// grant asks the UAA for tokens.
func (c *Client) grant(ctx context.Context, login cfConfig, id, secret string, form url.Values) (tokenAnswer, error) {
	base := login.UaaEndpoint
	if base == "" {
		base = login.AuthorizationEndpoint
	}
	if base == "" {
		return tokenAnswer{}, loggedOut("cf's config names no UAA")
	}
	status, body, err := c.retry(ctx, "renewing the session", func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/oauth/token", strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(id, secret) // not escaped: a UAA expects that only with a header of its own
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		return req, nil
	})
	if err != nil {
		return tokenAnswer{}, err
	}
	var answer tokenAnswer
	if status != http.StatusOK {
		return answer, &Error{
			Kind: ErrLoggedOut, Text: "the session of cf is over: the UAA does not renew it", Status: status, Advice: loginAdvice,
		}
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		return answer, &Error{Kind: ErrFailed, Text: "the UAA's answer is not a token", Status: status}
	}
	return answer, nil
}

// readBody reads an answer of at most 16 MiB; the largest, 5,000 services with
// their plans, has about 10.
func readBody(r io.Reader) ([]byte, error) {
	const limit = 16 << 20
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && len(body) > limit {
		err = fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return body, err
}
