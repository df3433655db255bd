package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cors"
)

// probeTimeout bounds each request of cors test; the answers have no body to
// speak of.
const probeTimeout = 20 * time.Second

// corsCheck is one question, answered by the rules and by the server.
type corsCheck struct {
	name    string
	request cors.Request
	rules   cors.Answer
	server  cors.Response
	ok      bool   // a browser would go on after the server's answer
	why     string // if not
}

func (c corsCheck) agree() bool { return c.rules.Allowed == c.ok }

// probe asks the server as a browser would: a preflight for q, and a GET with
// q's origin. Nothing that could change the bucket is ever sent. The GET is
// signed, for some servers don't look at the rules before they know who asks.
func (s *corsSession) probe(ctx context.Context, rules []cors.Rule, q cors.Request, key string) ([]corsCheck, error) {
	preflight := q
	preflight.Preflight = true
	get := cors.Request{Origin: q.Origin, Method: http.MethodGet}
	checks := []corsCheck{
		{name: "preflight for " + q.Method, request: preflight},
		{name: "GET", request: get},
	}
	for i := range checks {
		c := &checks[i]
		c.rules = cors.Evaluate(rules, c.request)
		var err error
		if c.server, err = s.send(ctx, c.request, key); err != nil {
			return nil, err
		}
		c.ok, c.why = cors.Accepts(c.request, c.server)
	}
	return checks, nil
}

func (s *corsSession) send(ctx context.Context, q cors.Request, key string) (r cors.Response, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	method := q.Method
	if q.Preflight {
		method = http.MethodOptions
	}
	req, err := http.NewRequestWithContext(ctx, method, s.objectURL(key).String(), nil)
	if err != nil {
		return r, fmt.Errorf("asking the server: %w", err)
	}
	req.Header.Set("Origin", q.Origin)
	if q.Preflight {
		req.Header.Set("Access-Control-Request-Method", q.Method)
		if len(q.Headers) > 0 {
			req.Header.Set("Access-Control-Request-Headers", strings.ToLower(strings.Join(q.Headers, ",")))
		}
	}
	if !q.Preflight {
		if err := s.sign(req); err != nil {
			return r, fmt.Errorf("signing a request: %w", err)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return r, &exitError{status: exitUnavailable, err: fmt.Errorf("asking the server: %w", err)}
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	return cors.Response{
		Status:       resp.StatusCode,
		AllowOrigin:  resp.Header.Get("Access-Control-Allow-Origin"),
		AllowMethods: strings.Join(resp.Header.Values("Access-Control-Allow-Methods"), ","),
		AllowHeaders: strings.Join(resp.Header.Values("Access-Control-Allow-Headers"), ","),
	}, nil
}

func testFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "origin", Usage: "the `SITE` of the page, such as https://app.example.gov"},
		&cli.StringFlag{Name: "method", Aliases: []string{"m"}, Value: http.MethodGet, Usage: "what the page does"},
		&cli.StringSliceFlag{Name: "header", Usage: "request `HEADERS` that the page sets"},
		&cli.StringFlag{Name: "object", Usage: "the `KEY` of the object to ask about; it need not exist", Value: "cgs3fs-cors-test"},
		jsonFlag(),
	}
}

func corsTest(c *cli.Context, open corsOpener) error {
	if err := noArguments(c); err != nil {
		return err
	}
	q := cors.Request{
		Origin: c.String("origin"), Method: strings.ToUpper(c.String("method")),
		Headers: cors.AskedFor(commaList(c.StringSlice("header"))),
	}
	if err := checkTestOrigin(q.Origin); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	rules, err := s.rules.GetCORS(c.Context)
	if err != nil {
		return fmt.Errorf("reading the CORS rules of %s: %w", s.bucket, err)
	}
	checks, err := s.probe(c.Context, rules, q, c.String("object"))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = writeChecksJSON(s.out, rules, checks)
	} else {
		writeChecks(s.out, rules, q, checks)
	}
	if err != nil {
		return err
	}
	return verdict(checks, q)
}

// checkTestOrigin refuses what no browser sends as an origin.
func checkTestOrigin(origin string) error {
	if origin == "" {
		return usagef("which site's pages?").try("add --origin https://app.example.gov")
	}
	if strings.Contains(origin, "*") {
		return usagef("--origin %q is a pattern; name one site that it is for", origin)
	}
	for _, f := range cors.LintOrigin(origin) {
		if f.Severity == cors.Error {
			err := usagef("--origin %q %s", origin, f.Text)
			if f.Fix != "" {
				err = err.try("--origin %s", f.Fix)
			}
			return err
		}
	}
	return nil
}

// verdict is the command's exit status.
func verdict(checks []corsCheck, q cors.Request) error {
	for _, c := range checks {
		if !c.agree() {
			return fail(exitDiffers, "the server's answer to the %s isn't the rules'", c.name).
				try("new rules can take a minute to be in force; a proxy or CDN in front of the bucket answers by rules of its own")
		}
	}
	decisive := checks[0]
	if !cors.NeedsPreflight(q.Method, q.Headers) && q.Method == http.MethodGet {
		decisive = checks[1] // the browser doesn't ask first
	}
	if !decisive.ok {
		return fail(exitFailed, "a page of %s may not do that", q.Origin)
	}
	return nil
}

func writeChecks(w io.Writer, rules []cors.Rule, q cors.Request, checks []corsCheck) {
	with := ""
	if len(q.Headers) > 0 {
		with = " with " + strings.Join(q.Headers, ", ")
	}
	fmt.Fprintf(w, "a page of %s wants to %s%s\n", q.Origin, q.Method, with)
	if !cors.NeedsPreflight(q.Method, q.Headers) {
		fmt.Fprintf(w, "browsers send that without a preflight, and then show or hide the answer\n")
	}
	for _, c := range checks {
		fmt.Fprintf(w, "%s\n", c.name)
		if c.rules.Allowed {
			fmt.Fprintf(w, "  by the rules:   allowed by %s\n", ruleName(rules, c.rules.Rule))
		} else {
			fmt.Fprintf(w, "  by the rules:   refused%s\n", noRules(rules))
			for _, m := range c.rules.Misses {
				fmt.Fprintf(w, "                  %s %s\n", ruleName(rules, m.Rule), m.Text)
			}
		}
		if c.ok {
			fmt.Fprintf(w, "  by the server:  allowed (HTTP %d, Access-Control-Allow-Origin: %s)\n", c.server.Status, cors.Show(c.server.AllowOrigin))
		} else {
			fmt.Fprintf(w, "  by the server:  refused (HTTP %d): %s\n", c.server.Status, c.why)
		}
	}
}

func noRules(rules []cors.Rule) string {
	if len(rules) == 0 {
		return ": there are no rules"
	}
	return ""
}

func ruleName(rules []cors.Rule, i int) string {
	if id := rules[i].ID; id != "" {
		return fmt.Sprintf("rule %d (%s)", i+1, cors.Show(id))
	}
	return fmt.Sprintf("rule %d", i+1)
}

// checkJSON is a corsCheck as cors test --json prints it. Rules are counted
// from 1, as people do.
type checkJSON struct {
	Check        string   `json:"check"`
	Origin       string   `json:"origin"`
	Method       string   `json:"method"`
	Headers      []string `json:"headers,omitempty"`
	RulesAllow   bool     `json:"rules_allow"`
	Rule         int      `json:"rule,omitempty"`
	Reasons      []string `json:"reasons,omitempty"`
	ServerAllows bool     `json:"server_allows"`
	ServerStatus int      `json:"server_status"`
	ServerReason string   `json:"server_reason,omitempty"`
	Agree        bool     `json:"agree"`
}

func writeChecksJSON(w io.Writer, rules []cors.Rule, checks []corsCheck) error {
	out := make([]checkJSON, len(checks))
	for i, c := range checks {
		out[i] = checkJSON{
			Check: c.name, Origin: c.request.Origin, Method: c.request.Method, Headers: c.request.Headers,
			RulesAllow: c.rules.Allowed, Rule: c.rules.Rule + 1,
			ServerAllows: c.ok, ServerStatus: c.server.Status, ServerReason: c.why, Agree: c.agree(),
		}
		for _, m := range c.rules.Misses {
			out[i].Reasons = append(out[i].Reasons, ruleName(rules, m.Rule)+" "+m.Text)
		}
	}
	return printJSON(w, out)
}
