package command

import (
	"context"
	"errors"
	"log/slog"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// engine is the joined packages of one mount.
type engine struct {
	fs      *fs.FS
	xfer    *transfer.Engine
	blocks  *cache.Blocks
	journal *uploadJournal
	stage   *stageDir
	log     *slog.Logger
}

func (p *mountPlan) assemble(c *cli.Context, b *opened, log *slog.Logger) (*engine, error) {
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	recovery, err := privateDir(state, "recovery")
	if err != nil {
		return nil, err
	}
	uploads, err := privateDir(state, "uploads")
	if err != nil {
		return nil, err
	}
	e := &engine{log: log}
	if e.stage, err = openStage(p.stage); err != nil {
		return nil, err
	}
	if e.blocks, err = cache.OpenBlocks(cache.BlocksConfig{
		BlockSize: blockSize, Memory: p.memory.blocks, Dir: p.cacheDir, MaxDisk: p.cacheMax,
		Scope: b.binding.Endpoint + "/" + b.binding.Bucket, Log: log,
	}); err != nil {
		return nil, errors.Join(fail(statusOf(err), "the cache directory can't be used: %w", err), e.closeAll())
	}
	view, err := newSnapshotView(b.bucket, b.binding.Bucket, b.binding.Prefix)
	if err != nil {
		return nil, errors.Join(err, e.closeAll())
	}
	e.journal = newUploadJournal(view, uploads, b.binding.Endpoint, b.binding.Bucket)
	if e.xfer, err = transfer.New(e.journal, e.blocks, transfer.Config{
		Memory: p.memory.transfer, StageDir: e.stage.path, PartSize: p.part, Log: log,
	}); err != nil {
		return nil, errors.Join(err, e.closeAll())
	}
	cfg := p.fs
	cfg.Prefix, cfg.RecoveryDir, cfg.FSName, cfg.Log = b.binding.Prefix, recovery, p.name(b), log
	cfg.Snapshots, cfg.Kept = true, view.kept
	if cfg.Prefix == "" {
		cfg.FSName = "s3://" + b.binding.Bucket
	}
	cfg.Report = func() any { return p.report(b, e) }
	if key, ok := b.binding.Credentials.(*creds.Provider); ok {
		cfg.Reload = func() error { return key.Reload(context.Background()) }
		p.fs.Reload = cfg.Reload // for SIGHUP
	}
	if e.fs, err = fs.New(e.journal, e.xfer, cfg); err != nil {
		return nil, errors.Join(err, e.closeAll())
	}
	return e, nil
}

// blockSize is how much of an object a random read brings, and the unit of the
// disk cache.
const blockSize = 128 << 10

// mountReport is what status shows beyond the file system's own facts.
type mountReport struct {
	Bucket      string
	Prefix      string `json:",omitempty"`
	Endpoint    string `json:",omitempty"`
	Credentials string // where they came from; never the key
	KeyID       string `json:",omitempty"`
	Service     string `json:",omitempty"`
	Version     string
	Memory      int64
	Requests    map[string]opCount
	Cache       cache.BlocksStats
	Trouble     troubleReport `json:",omitzero"`
}

func (p *mountPlan) report(b *opened, e *engine) mountReport {
	return mountReport{
		Bucket: b.binding.Bucket, Prefix: b.binding.Prefix, Endpoint: b.binding.Endpoint,
		Credentials: b.source(), KeyID: b.keyID(), Service: b.binding.Service, Version: version(),
		Memory: p.memory.total, Requests: b.counts.snapshot(), Cache: e.blocks.Stats(),
		Trouble: b.trouble.report(),
	}
}

func (e *engine) close() {
	if err := e.closeAll(); err != nil {
		e.log.Warn("ending the mount", "err", err)
	}
}

func (e *engine) closeAll() error {
	var errs []error
	if e.xfer != nil {
		errs = append(errs, e.xfer.Close())
	}
	if e.blocks != nil {
		errs = append(errs, e.blocks.Close())
	}
	if e.stage != nil {
		errs = append(errs, e.stage.close())
	}
	return errors.Join(errs...)
}
