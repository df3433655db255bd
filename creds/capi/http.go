package capi

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// How often and how patiently a foundation in trouble is asked.
const (
	attempts     = 5
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second // also of what Retry-After may ask for
	retryTime    = time.Minute      // after which nothing is tried again
)

// get asks the Cloud Controller for a path and decodes the answer into out.
func (c *Client) get(ctx context.Context, doing, path string, out any) error {
	_, err := c.call(ctx, doing, http.MethodGet, path, nil, out)
	return err
}

// call sends a request and decodes the answer, if out is not nil. doing says in
// words what it is for, for errors.
func (c *Client) call(ctx context.Context, doing, method, path string, in, out any) (http.Header, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	header, answer, err := c.authorized(ctx, doing, method, path, body)
	if err != nil || out == nil {
		return header, err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, &Error{Kind: ErrFailed, Text: doing + ": the answer is not what the API promises"}
	}
	return header, nil
}

// authorized sends a request with a token. One that the server refuses although
// it looked valid is renewed once.
func (c *Client) authorized(ctx context.Context, doing, method, path string, body []byte) (http.Header, []byte, error) {
	for renewed := false; ; renewed = true {
		token, err := c.validToken(ctx)
		if err != nil {
			return nil, nil, err
		}
		var header http.Header
		status, answer, err := c.retry(ctx, doing, func() (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.login.Target, "/")+path, strings.NewReader(string(body)))
			if err != nil {
				return nil, err
			}
			req.Header.Set("Authorization", "bearer "+token)
			req.Header.Set("Accept", "application/json")
			if body != nil {
				req.Header.Set("Content-Type", "application/json")
			}
			return req, nil
		}, &header)
		if err != nil {
			return nil, nil, err
		}
		if status < 300 {
			return header, answer, nil
		}
		err = answerError(doing, status, header, answer)
		if !errors.Is(err, ErrLoggedOut) || renewed {
			return nil, nil, err
		}
		c.refuse(token)
	}
}

// retry sends a request until the answer is neither 429 nor 5xx. The last
// failure is ErrUnavailable.
func (c *Client) retry(ctx context.Context, doing string, make func() (*http.Request, error), header ...*http.Header) (int, []byte, error) {
	var last error
	end := c.cfg.Now().Add(retryTime)
	for n := range attempts {
		req, err := make()
		if err != nil {
			return 0, nil, &Error{Kind: ErrInvalid, Text: doing + ": the API's address is not a URL", Advice: "see cf api"}
		}
		status, got, body, err := c.once(req)
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		if err == nil && status != http.StatusTooManyRequests && status < 500 {
			for _, h := range header {
				*h = got
			}
			return status, body, nil
		}
		if err != nil {
			last = networkError(doing, req.URL.Host, err)
		} else {
			last = answerError(doing, status, got, body)
		}
		if errors.Is(last, ErrFailed) || n == attempts-1 || c.cfg.Now().After(end) {
			break
		}
		if n == 0 {
			c.cfg.Progress(doing + ": no useful answer from " + req.URL.Host + ", trying again")
		}
		pause := min(max(jitter(firstPause<<n), retryAfter(got, c.cfg.Now())), longestPause)
		c.cfg.Log.Debug("the foundation is asked again", "doing", doing, "status", status, "pause", pause)
		if err := c.cfg.Sleep(ctx, pause); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, last
}

func (c *Client) once(req *http.Request) (int, http.Header, []byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	body, err := readBody(res.Body)
	return res.StatusCode, res.Header, body, err
}

// retryAfter reads how long a server asks to wait; zero if it doesn't. The
// Cloud Controller's rate limiter says Retry-After in seconds, or
// X-RateLimit-Reset in Unix time.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n > 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	if n, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && h.Get("X-RateLimit-Remaining") == "0" {
		return max(time.Unix(n, 0).Sub(now), 0)
	}
	return 0
}

// networkError explains why there is no answer. The cause is unwrapped: its own
// text repeats the URL.
func networkError(doing, host string, err error) error {
	e := &Error{
		Kind: ErrUnavailable, Text: fmt.Sprintf("%s: no answer from %s", doing, host),
		Advice: "check the network, and HTTPS_PROXY if one is needed", Err: err,
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		e.Err = inner.Err
	}
	var unknown x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var bad x509.CertificateInvalidError
	if errors.As(err, &unknown) || errors.As(err, &wrongHost) || errors.As(err, &bad) {
		e.Kind = ErrFailed
		e.Text = fmt.Sprintf("%s: the certificate of %s can't be verified", doing, host)
		e.Advice = "name your agency's certificates in SSL_CERT_FILE, or log in with cf login --skip-ssl-validation"
	}
	return e
}

// answerError makes an Error of an answer that is none of 2xx. Proxies answer
// HTML, of which nothing is shown.
func answerError(doing string, status int, header http.Header, body []byte) error {
	e := &Error{Kind: kindOf(status), Text: doing, Status: status}
	if header != nil {
		e.RequestID = cleanLine(header.Get("X-Vcap-Request-Id"))
	}
	var answer struct {
		Errors []struct {
			Code   int
			Detail string
		}
	}
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		e.Code = answer.Errors[0].Code
		e.Text += ": " + cleanLine(answer.Errors[0].Detail)
	}
	switch {
	case e.Code == codeInvalidToken || e.Code == codeNotAuthenticated || status == http.StatusUnauthorized:
		e.Kind, e.Advice = ErrLoggedOut, loginAdvice
	case e.Kind == ErrUnavailable:
		e.Advice = "try again in a few minutes; https://cloudgov.statuspage.io tells about Cloud.gov"
	case e.Kind == ErrDenied:
		e.Advice = "ask a Space Manager of the space for the role Space Developer"
	}
	return e
}

func kindOf(status int) error {
	switch {
	case status == http.StatusUnauthorized:
		return ErrLoggedOut
	case status == http.StatusForbidden:
		return ErrDenied
	case status == http.StatusNotFound || status == http.StatusGone:
		return ErrNotFound
	case status == http.StatusTooManyRequests || status >= 500:
		return ErrUnavailable
	}
	return ErrInvalid
}

// cleanLine makes one line of at most 300 bytes of a text from elsewhere.
func cleanLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
