package command

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

func progressFlag() cli.Flag {
	return &cli.StringFlag{Name: "progress", Usage: "bar, plain or none; `HOW`", DefaultText: "a bar on a terminal, plain elsewhere"}
}

// How often progress is shown: on a terminal as fast as eyes follow, in a log so
// that a run of hours fills a page.
const (
	barEvery   = 200 * time.Millisecond
	plainEvery = 30 * time.Second
)

// watch shows how work gets on until it is done.
func (s *snapshotSession) watch(c *cli.Context, p *snapshot.Progress, work func() error) error {
	how := c.String("progress")
	switch {
	case how == "" && s.terminal && !c.Bool("json"):
		how = "bar"
	case how == "":
		how = "plain"
	}
	var show func()
	every, end := plainEvery, func() {}
	switch how {
	case "none":
		return work()
	case "plain":
		show = func() { fmt.Fprintln(s.err, "cgs3fs: "+plainProgress(p)) }
	case "bar":
		bar := newBar(s.err)
		show, every = func() { setBar(bar, p) }, barEvery
		end = func() { bar.Clear() } // what the terminal does with it is of no concern
	default:
		return usagef("--progress %q is not understood", how).try("it is bar, plain or none")
	}
	stop := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show()
			case <-stop:
				end()
				return
			}
		}
	})
	err := work()
	close(stop)
	showing.Wait()
	return err
}

func newBar(w io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("obj"), progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(barEvery))
}

// setBar brings the bar up to date. While objects are still being listed their
// number is not known, and the bar has no end.
func setBar(bar *progressbar.ProgressBar, p *snapshot.Progress) {
	if p.Done.Load() || p.Phase.Load() > snapshot.PhaseCopying {
		bar.ChangeMax64(p.Listed.Load())
	}
	bar.Describe(phaseName(p) + " " + humanize.IBytes(uint64(p.CopiedBytes.Load())))
	bar.Set64(handled(p)) // fails only where it can't write
}

func handled(p *snapshot.Progress) int64 {
	return p.Copied.Load() + p.Kept.Load() + p.Linked.Load() + p.Skipped.Load()
}

func plainProgress(p *snapshot.Progress) string {
	atLeast := "at least "
	if p.Done.Load() {
		atLeast = ""
	}
	return fmt.Sprintf("%s: %s of %s%s objects, %s of %s%s", phaseName(p), humanize.Comma(handled(p)), atLeast,
		humanize.Comma(p.Listed.Load()), humanize.IBytes(uint64(p.CopiedBytes.Load())), atLeast, humanize.IBytes(uint64(p.ListedBytes.Load())))
}

func phaseName(p *snapshot.Progress) string {
	switch p.Phase.Load() {
	case snapshot.PhaseChecking:
		return "checking"
	case snapshot.PhaseCommitting:
		return "committing"
	}
	return "working"
}
