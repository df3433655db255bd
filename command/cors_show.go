package command

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cors"
)

func corsShow(c *cli.Context, open corsOpener) error {
	if err := noArguments(c); err != nil {
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
	if c.Bool("json") {
		_, err := s.out.Write(cors.JSON(rules))
		return err
	}
	if len(rules) == 0 {
		_, err := fmt.Fprintf(s.out, "%s has no CORS rules: pages of other sites may not use it\n", s.bucket)
		return err
	}
	if err := writeRules(s.out, rules); err != nil {
		return err
	}
	for _, f := range cors.Lint(rules) {
		fmt.Fprintf(s.err, "cgs3fs: %v: %v\n", f.Severity, f)
	}
	return nil
}

// writeRules prints a table in which each rule takes as many lines as its
// longest list.
func writeRules(out io.Writer, rules []cors.Rule) error {
	rows := [][]string{{"RULE", "ORIGINS", "METHODS", "HEADERS", "EXPOSED", "MAX AGE", "ID"}}
	for i, r := range rules {
		age, id := "-", "-"
		if r.MaxAgeSeconds != nil {
			age = (time.Duration(*r.MaxAgeSeconds) * time.Second).String()
		}
		if r.ID != "" {
			id = cors.Show(r.ID)
		}
		number, methods := strconv.Itoa(i+1), shownList(r.AllowedMethods)
		for n := range max(1, len(r.AllowedOrigins), len(r.AllowedHeaders), len(r.ExposeHeaders)) {
			rows = append(rows, []string{
				number, cell(r.AllowedOrigins, n), methods, cell(r.AllowedHeaders, n), cell(r.ExposeHeaders, n), age, id,
			})
			number, methods, age, id = "", "", "", "" // stand in the rule's first line only
		}
	}
	return printTable(out, rows)
}

// cell is line n of a list; an empty list shows as a dash.
func cell(list []string, n int) string {
	switch {
	case n < len(list):
		return cors.Show(list[n])
	case n == 0:
		return "-"
	default:
		return ""
	}
}
