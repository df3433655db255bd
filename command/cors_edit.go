package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cors"
)

func corsApply(c *cli.Context, open corsOpener) error {
	if c.NArg() != 1 {
		return usagef("cors apply takes one file, or - for the standard input").try("cgs3fs cors apply cors.json")
	}
	name := c.Args().First()
	if name == "-" && c.String("credentials") == "-" {
		return usagef("the rules and the credentials can't both come from the standard input")
	}
	doc, err := readDocument(name, c.App.Reader)
	if err != nil {
		return err
	}
	rules, err := cors.Parse(doc)
	if err != nil {
		return usagef("%s: %w", name, err)
	}
	if len(rules) == 0 {
		return usagef("%s has no rules", name).try("to remove all rules: cgs3fs cors clear")
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	return s.change(c.Context, "apply", func([]cors.Rule) ([]cors.Rule, error) { return rules, nil }, consentOf(c))
}

// readDocument reads a file or, for "-", in; no more than Parse takes.
func readDocument(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &exitError{status: exitNotFound, err: err}
		}
		if err != nil {
			return nil, err
		}
		defer f.Close() // only read
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, cors.MaxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	return doc, nil
}

func allowFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "method", Aliases: []string{"m"}, Usage: "`METHODS` its pages may use", DefaultText: "GET,HEAD"},
		&cli.StringSliceFlag{Name: "header", Usage: "request `HEADERS` its pages may set; '*' is any"},
		&cli.StringSliceFlag{Name: "expose", Usage: "response `HEADERS` its pages may read, such as ETag"},
		&cli.StringFlag{Name: "max-age", Usage: "how long, as a `DURATION` such as 1h, browsers may remember the answer"},
		&cli.StringFlag{Name: "id", Usage: "`NAME` of the rule to change or add"},
	}
}

func corsAllow(c *cli.Context, open corsOpener) error {
	grant, err := grantOf(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	return s.change(c.Context, "allow", func(current []cors.Rule) ([]cors.Rule, error) {
		after, err := cors.Allow(current, grant)
		if err != nil {
			return nil, &exitError{status: exitRefused, err: err}
		}
		return after, nil
	}, consentOf(c))
}

// grantOf is what the flags and arguments of cors allow say.
func grantOf(c *cli.Context) (cors.Grant, error) {
	origins, err := someOrigins(c)
	if err != nil {
		return cors.Grant{}, err
	}
	for _, o := range origins {
		for _, f := range cors.LintOrigin(o) {
			if f.Severity != cors.Error {
				continue // told with the change
			}
			err := usagef("origin %q %s", o, f.Text)
			if f.Fix != "" {
				err = err.try("cgs3fs cors allow %s", f.Fix)
			}
			return cors.Grant{}, err
		}
	}
	g := cors.Grant{Origins: origins, Methods: []string{"GET", "HEAD"}, ID: c.String("id")}
	if c.IsSet("method") {
		g.Methods = upper(commaList(c.StringSlice("method")))
	}
	g.Headers = commaList(c.StringSlice("header"))
	g.Expose = commaList(c.StringSlice("expose"))
	if c.IsSet("max-age") {
		g.MaxAge, err = corsMaxAge(c.String("max-age"))
	}
	return g, err
}

// commaList takes values apart at commas, for flags given as "GET, HEAD".
func commaList(values []string) []string {
	var out []string
	for _, v := range values {
		out = append(out, cors.ParseHeaders(v)...)
	}
	return out
}

func upper(values []string) []string {
	for i, v := range values {
		values[i] = strings.ToUpper(v)
	}
	return values
}

// corsMaxAge reads a duration as whole seconds.
func corsMaxAge(s string) (*int32, error) {
	d, ok := parseDuration(s)
	if seconds := d / time.Second; ok && seconds <= math.MaxInt32 {
		age := int32(seconds)
		return &age, nil
	}
	return nil, usagef("--max-age %q is no duration that CORS rules can have", s).try("such as 3600, 60s, 90m or 24h")
}

func corsDeny(c *cli.Context, open corsOpener) error {
	origins, err := someOrigins(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	var after []cors.Rule
	err = s.change(c.Context, "deny", func(current []cors.Rule) ([]cors.Rule, error) {
		kept, missing := cors.Deny(current, origins)
		if len(missing) > 0 {
			return nil, notInRules(current, missing[0])
		}
		after = kept
		return kept, nil
	}, consentOf(c))
	if err != nil {
		return err
	}
	return stillAllowed(after, origins)
}

// notInRules says why an origin can't be taken out of the rules.
func notInRules(rules []cors.Rule, origin string) error {
	if patterns := cors.StillAllowed(rules, origin); len(patterns) > 0 {
		return fail(exitNotFound, "no rule names %s; it is allowed by %s", cors.Show(origin), shownList(patterns)).
			try("cgs3fs cors deny '%s'", patterns[0])
	}
	return fail(exitNotFound, "no rule names %s", cors.Show(origin)).try("cgs3fs cors show")
}

// stillAllowed says which of the denied origins a pattern lets in all the same.
func stillAllowed(rules []cors.Rule, origins []string) error {
	for _, o := range origins {
		if patterns := cors.StillAllowed(rules, o); len(patterns) > 0 {
			return fail(exitPartly, "%s is still allowed by %s", cors.Show(o), shownList(patterns)).
				try("cgs3fs cors deny '%s'", patterns[0])
		}
	}
	return nil
}

func shownList(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = cors.Show(v)
	}
	return strings.Join(out, ", ")
}

func corsClear(c *cli.Context, open corsOpener) error {
	if err := noArguments(c); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	return s.change(c.Context, "clear", func([]cors.Rule) ([]cors.Rule, error) { return nil, nil }, consentOf(c))
}

func corsUndo(c *cli.Context, open corsOpener) error {
	if err := noArguments(c); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	last, ok, err := s.history.last()
	if err != nil {
		return fmt.Errorf("looking for the change to undo: %w", err)
	}
	if !ok {
		return fail(exitNotFound, "no change of the CORS rules of %s is kept here to undo", s.bucket)
	}
	return s.undo(c.Context, last, c.Bool("force"), consentOf(c))
}
