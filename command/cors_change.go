package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cgs3fs/cgs3fs/cors"
	"github.com/cgs3fs/cgs3fs/s3"
)

// corsEdit makes new rules of the bucket's.
type corsEdit func(current []cors.Rule) ([]cors.Rule, error)

// corsConsent says how far a change may go without asking.
type corsConsent struct {
	dryRun bool // show the change and stop
	yes    bool // don't ask
}

// change reads the rules, edits them, checks and shows what changes, asks,
// writes, and reads back. S3 has no conditional write for rules: reading them
// again just before the write and after it is what can be done to notice that
// somebody else changes them at the same time.
func (s *corsSession) change(ctx context.Context, op string, edit corsEdit, consent corsConsent) error {
	return s.changeAs(ctx, corsChange{Op: op}, edit, consent)
}

// undo takes a change back, if the rules are still those that it left behind
// or force is set.
func (s *corsSession) undo(ctx context.Context, last corsChange, force bool, consent corsConsent) error {
	fmt.Fprintf(s.out, "undoing: cors %s of %s\n", last.Op, last.Time.Local().Format(time.DateTime))
	return s.changeAs(ctx, corsChange{Op: "undo", Undoes: last.name}, func(current []cors.Rule) ([]cors.Rule, error) {
		if !force && !cors.Same(current, last.After) && !cors.Same(current, last.Before) {
			fmt.Fprint(s.err, cors.Diff(last.After, current))
			return nil, fail(exitDiffers, "the CORS rules of %s were changed since by somebody else, as shown", s.bucket).
				try("to put the earlier ones back all the same: cgs3fs cors undo --force")
		}
		return last.Before, nil
	}, consent)
}

// changeAs is change for a corsChange of which Op and Undoes are set.
func (s *corsSession) changeAs(ctx context.Context, c corsChange, edit corsEdit, consent corsConsent) error {
	before, err := s.rules.GetCORS(ctx)
	if err != nil {
		return fmt.Errorf("reading the CORS rules of %s: %w", s.bucket, err)
	}
	after, err := edit(before)
	if err != nil {
		return err
	}
	c.Before, c.After = before, after
	if cors.Equal(before, after) {
		fmt.Fprintf(s.out, "nothing to change: the rules of %s say so already\n", s.bucket)
		if c.Undoes == "" || consent.dryRun {
			return nil
		}
		// The change to undo never reached the server; the next undo must go
		// on to the one before.
		_, err := s.keep(c)
		return err
	}
	if err := s.check(c); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "CORS rules of %s:\n%s", s.bucket, cors.Diff(before, after))
	if consent.dryRun {
		fmt.Fprintln(s.out, "dry run: nothing was changed")
		return nil
	}
	if !consent.yes {
		if err := s.confirm(); err != nil {
			return err
		}
	}
	return s.write(ctx, c)
}

// check prints what Lint finds in the new rules. Errors stop the change, but not
// those that the rules had before: they are no reason to leave things as they
// are. Nothing stops an undo, for those rules were in force already.
func (s *corsSession) check(c corsChange) error {
	old := cors.Lint(c.Before)
	var first *cors.Finding
	for _, f := range cors.Lint(c.After) {
		isOld := slices.ContainsFunc(old, func(o cors.Finding) bool {
			return o.Field == f.Field && o.Value == f.Value && o.Text == f.Text
		})
		switch {
		case f.Severity == cors.Warning && isOld:
			// show tells it; here it would hide what is new
		case f.Severity == cors.Warning || isOld || c.Undoes != "":
			fmt.Fprintf(s.err, "cgs3fs: warning: %v\n", f)
		case first == nil:
			first = &f // told as the command's error
		default:
			fmt.Fprintf(s.err, "cgs3fs: %v\n", f)
		}
	}
	if first == nil {
		return nil
	}
	return usagef("%v", first).try("%s", fixHint(*first))
}

// fixHint is the corrected line for a finding.
func fixHint(f cors.Finding) string {
	if f.Fix == "" {
		return ""
	}
	return fmt.Sprintf("%q: [%q]", f.Field, f.Fix)
}

// write carries a change out that was agreed to.
func (s *corsSession) write(ctx context.Context, c corsChange) error {
	current, err := s.rules.GetCORS(ctx)
	if err != nil {
		return fmt.Errorf("reading the CORS rules of %s again: %w", s.bucket, err)
	}
	if !cors.Equal(c.Before, current) {
		fmt.Fprint(s.err, cors.Diff(c.Before, current))
		return fail(exitDiffers, "somebody else changed the CORS rules of %s meanwhile, as shown; nothing was written", s.bucket).
			try("run the command again")
	}
	forget, err := s.keep(c)
	if err != nil {
		return err
	}
	if err := s.put(ctx, c.After); err != nil {
		// Without an answer it may have happened, and undo must find it.
		if !errors.Is(err, s3.ErrUnavailable) && !errors.Is(err, s3.ErrCanceled) {
			forget()
		}
		return fmt.Errorf("writing the CORS rules of %s: %w", s.bucket, err)
	}
	return s.readBack(ctx, c)
}

// keep saves c for undo, under the time it is made.
func (s *corsSession) keep(c corsChange) (forget func(), err error) {
	c.Time = s.now()
	forget, err = s.history.save(c)
	if err != nil {
		return nil, fmt.Errorf("keeping the rules as they were, for undo: %w", err)
	}
	return forget, nil
}

func (s *corsSession) put(ctx context.Context, rules []cors.Rule) error {
	if len(rules) == 0 {
		return s.rules.DeleteCORS(ctx)
	}
	return s.rules.PutCORS(ctx, rules)
}

// readBack waits until the server shows the rules that were written: Amazon
// says that a bucket's configuration may take a moment to be seen everywhere.
func (s *corsSession) readBack(ctx context.Context, c corsChange) error {
	for _, pause := range []time.Duration{0, 250 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
		if err := s.sleep(ctx, pause); err != nil {
			return err
		}
		now, err := s.rules.GetCORS(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("the CORS rules of %s were written, but reading them back: %w", s.bucket, err)
		case cors.Same(c.After, now):
			fmt.Fprintf(s.out, "done: %s\n", s.summary(c.After))
			return nil
		case !cors.Same(c.Before, now):
			fmt.Fprint(s.err, cors.Diff(c.After, now))
			return fail(exitDiffers, "the CORS rules of %s were written, but are now others, as shown; somebody else changes them too", s.bucket).
				try("cgs3fs cors show")
		}
	}
	return fail(exitPartly, "the CORS rules of %s were written, but the server still shows the ones before", s.bucket).
		try("look again in a minute: cgs3fs cors show")
}

func (s *corsSession) summary(rules []cors.Rule) string {
	switch len(rules) {
	case 0:
		return s.bucket + " has no CORS rules; undo with: cgs3fs cors undo"
	case 1:
		return s.bucket + " has 1 CORS rule; undo with: cgs3fs cors undo"
	default:
		return fmt.Sprintf("%s has %d CORS rules; undo with: cgs3fs cors undo", s.bucket, len(rules))
	}
}
