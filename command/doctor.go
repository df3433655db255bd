package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

func doctorCommand() *cli.Command { return doctorCommandWith(liveMounts) }

// doctorCommandWith is doctorCommand with a list of the machine's mounts.
func doctorCommandWith(mounts func() ([]liveMount, error)) *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "find out what works here and what does not",
		ArgsUsage: "[SERVICE | s3://BUCKET]",
		Description: "Looks at this machine, the Cloud Foundry login and the bucket, and prints one line each, with\n" +
			"the fix. Nothing is written to the bucket without --write-test. Ends with 0 if all is well, 3\n" +
			"with warnings, and otherwise with the status of the first line that failed.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "write-test", Usage: "also write, copy and delete a small object of its own", DisableDefaultText: true},
			jsonFlag(),
		}, sourceFlags()...),
		OnUsageError: usageError,
		BashComplete: completeServices,
		Action:       func(c *cli.Context) error { return examine(c, mounts) },
	}
}

// The states of a finding, from good to bad.
const (
	stateOK      = "ok"
	stateSkipped = "skipped"
	stateWarning = "warning"
	stateFailed  = "failed"
)

// finding is one line of doctor's report.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"`

	status int // with stateFailed: the exit status that fits
}

// examination collects findings.
type examination struct {
	findings []finding
}

func (e *examination) add(check, state, text, fix string) {
	e.findings = append(e.findings, finding{Check: check, State: state, Text: text, Fix: fix, status: exitFailed})
}

func (e *examination) ok(check, format string, args ...any) {
	e.add(check, stateOK, fmt.Sprintf(format, args...), "")
}

func (e *examination) skip(check, format string, args ...any) {
	e.add(check, stateSkipped, fmt.Sprintf(format, args...), "")
}

func (e *examination) warn(check, fix, format string, args ...any) {
	e.add(check, stateWarning, fmt.Sprintf(format, args...), fix)
}

// fail adds a failure with the hint and the status of the error itself.
func (e *examination) fail(check string, err error) {
	e.add(check, stateFailed, strings.ReplaceAll(err.Error(), "\n", "; "), hintOf(err))
	e.findings[len(e.findings)-1].status = statusOf(err)
}

// status is the exit status of the worst finding.
func (e *examination) status() int {
	status := exitOK
	for _, f := range e.findings {
		switch f.State {
		case stateFailed:
			return f.status
		case stateWarning:
			status = exitPartly
		}
	}
	return status
}

func examine(c *cli.Context, mounts func() ([]liveMount, error)) error {
	if c.NArg() > 1 {
		return usagef("%q: doctor takes one source", c.Args().Get(1))
	}
	e := &examination{}
	e.machine()
	e.mounts(mounts)
	e.directories()
	found := e.bucket(c)
	e.cloudFoundry(c, found)
	if err := c.Context.Err(); err != nil {
		return context.Cause(c.Context)
	}
	var err error
	if c.Bool("json") {
		err = printJSON(c.App.Writer, e.findings)
	} else {
		err = e.print(c.App.Writer)
	}
	if status := e.status(); err == nil && status != exitOK {
		return &exitError{status: status, err: errSaid}
	}
	return err
}

// print writes a line for each finding, and the fix below it.
func (e *examination) print(w io.Writer) error {
	width := 0
	for _, f := range e.findings {
		width = max(width, len(f.Check))
	}
	for _, f := range e.findings {
		if _, err := fmt.Fprintf(w, "%-7s  %-*s  %s\n", f.State, width, f.Check, f.Text); err != nil {
			return err
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "%-7s  %-*s  %s\n", "", width, "", "-> "+f.Fix)
		}
	}
	return nil
}
