package command

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/fs"
)

// serve waits until somebody unmounts. A signal saves everything and unmounts.
func (p *mountPlan) serve(c *cli.Context, e *engine, m *fs.Mounted, at mountpoint, log *slog.Logger) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Wait()
	}()
	for {
		select {
		case <-done:
			return p.ended(e)
		case <-hangup:
			if p.fs.Reload != nil {
				log.Info("asking for credentials again", "err", p.fs.Reload())
			}
		case <-c.Context.Done():
			log.Info("told to stop; saving and unmounting")
			saveForStop(e, log)
			if m.Unmount() != nil {
				if err := detach(at.dir); err != nil {
					return fail(exitFailed, "unmounting %s: %w", at.dir, err)
				}
			}
			select {
			case <-done:
			case <-time.After(stopWait):
				log.Warn("programs still use the mount; what they do from now on fails")
				m.End()
			}
			if err := p.ended(e); err != nil { // which is more than that it was interrupted
				printError(c.App.ErrWriter, err)
				return &exitError{status: exitUnsaved, err: errSaid}
			}
			return nil
		}
	}
}

// stopSave bounds the saving after a signal, so that what is left reaches the
// recovery directory before systemd's 90 seconds are over.
const stopSave = 45 * time.Second

func saveForStop(e *engine, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), stopSave)
	defer cancel()
	if err := e.fs.Sync(ctx); err != nil {
		log.Error("not everything could be saved", "err", err)
	}
}

// stopWait is how long programs that have files open may go on after a signal.
const stopWait = 2 * time.Second

// ended tells whether everything is in the bucket.
func (p *mountPlan) ended(e *engine) error {
	if n := e.fs.Rescued(); n > 0 {
		return fail(exitUnsaved, "%s could not be saved; kept in %s", filesOf(n), e.fs.Status().Recovery).try("cgs3fs recover lists them")
	}
	return nil
}
