package command

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/transfer"
)

func recoverCommand() *cli.Command {
	return &cli.Command{
		Name:  "recover",
		Usage: "list, upload or export what a mount could not save",
		Description: "When a file can't be saved, its program gets an error, and the data is kept on this\n" +
			"machine. Nothing here is ever removed by itself.",
		Flags:        []cli.Flag{jsonFlag()},
		OnUsageError: usageError,
		Action:       recoverList,
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list what is kept", Flags: []cli.Flag{jsonFlag()},
				OnUsageError: usageError, Action: recoverList,
			},
			{
				Name: "upload", Usage: "save it to the bucket after all", ArgsUsage: "NAME…|all",
				Flags: append([]cli.Flag{
					&cli.BoolFlag{Name: "overwrite", Usage: "also over a version that somebody else has put there", DisableDefaultText: true},
					&cli.StringFlag{Name: "as", Usage: "save one file under another `KEY`"},
				}, sourceFlags()...),
				OnUsageError: usageError, Action: recoverUpload,
			},
			{
				Name: "export", Usage: "write one to a file", ArgsUsage: "NAME FILE", Flags: sourceFlags(),
				OnUsageError: usageError, Action: recoverExport,
			},
			{
				Name: "discard", Usage: "throw it away", ArgsUsage: "NAME…",
				Flags:        []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "without this nothing is thrown away", DisableDefaultText: true}},
				OnUsageError: usageError, Action: recoverDiscard,
			},
		},
	}
}

// kept is one file of the recovery directory.
type kept struct {
	Name   string
	File   string // the bucket and the path below the mount
	Key    string
	Size   int64
	When   time.Time
	Why    string
	path   string // of the sidecar
	saved  *transfer.Saved
	rescue fs.Rescued
}

// keptJSON is a kept file as --json prints it.
type keptJSON struct {
	Name  string    `json:"name"`
	File  string    `json:"file"`
	Key   string    `json:"key"`
	Size  int64     `json:"size"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

func recoveryDir() (string, error) {
	state, err := stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "recovery"), nil
}

// keptFiles reads the recovery directory. A file that can't be read is told and
// left out.
func keptFiles(warn func(format string, args ...any)) ([]kept, error) {
	dir, err := recoveryDir()
	if err != nil {
		return nil, err
	}
	return keptIn(dir, warn)
}

func keptIn(dir string, warn func(format string, args ...any)) ([]kept, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []kept
	for _, path := range paths {
		k, err := readKept(path)
		if err != nil {
			warn("%s: %v", path, err)
			continue
		}
		out = append(out, k)
	}
	return out, nil
}

func readKept(path string) (kept, error) {
	s, err := transfer.LoadSaved(path)
	if err != nil {
		return kept{}, err
	}
	k := kept{Name: strings.TrimSuffix(filepath.Base(path), ".json"), Key: s.Key, Size: s.Size, When: s.Time, path: path, saved: s}
	if err := json.Unmarshal(s.Extra, &k.rescue); err != nil {
		return kept{}, err
	}
	k.File, k.Why = k.rescue.Source+k.rescue.Path, k.rescue.Why
	return k, nil
}

// remove takes the sidecar first: data without one is nobody's, and a sidecar
// without data would look like a loss.
func (k kept) remove() error {
	return errors.Join(os.Remove(k.path), os.Remove(k.saved.DataPath))
}

func recoverList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	files, err := keptFiles(func(f string, a ...any) { notef(c, f, a...) })
	if err != nil {
		return err
	}
	if c.Bool("json") {
		rows := []keptJSON{}
		for _, k := range files {
			rows = append(rows, keptJSON{k.Name, k.File, k.Key, k.Size, k.When, k.Why})
		}
		return printJSON(c.App.Writer, rows)
	}
	if len(files) == 0 {
		notef(c, "nothing is kept: everything was saved")
		return nil
	}
	rows := [][]string{{"NAME", "SIZE", "SINCE", "FILE", "WHY"}}
	for _, k := range files {
		rows = append(rows, []string{k.Name, humanize.IBytes(uint64(k.Size)), k.When.Format(time.RFC3339), k.File, k.Why})
	}
	return printTable(c.App.Writer, rows)
}

// choose finds the named files.
func choose(c *cli.Context, names []string) ([]kept, error) {
	if len(names) == 0 {
		return nil, usagef("name what to %s", c.Command.Name).try("cgs3fs recover lists it")
	}
	all, err := keptFiles(func(f string, a ...any) { notef(c, f, a...) })
	if err != nil || (len(names) == 1 && names[0] == "all") {
		return all, err
	}
	var out []kept
	for _, name := range names {
		found := false
		for _, k := range all {
			if k.Name == name {
				out, found = append(out, k), true
			}
		}
		if !found {
			return nil, fail(exitNotFound, "nothing named %q is kept", name).try("cgs3fs recover lists it")
		}
	}
	return out, nil
}

func recoverDiscard(c *cli.Context) error {
	files, err := choose(c, c.Args().Slice())
	if err != nil {
		return err
	}
	if !c.Bool("yes") {
		return fail(exitRefused, "%d files would be lost for good", len(files)).try("add --yes")
	}
	for _, k := range files {
		if err := k.remove(); err != nil {
			return err
		}
	}
	return nil
}

// recoverable tells whether a recovery file needs a multipart upload.
func (e *engine) recoverable(id string) bool {
	files, err := keptFiles(func(string, ...any) {})
	if err != nil {
		return true // better an upload too many than one too few
	}
	for _, k := range files {
		if k.saved.UploadID == id {
			return true
		}
	}
	return false
}
