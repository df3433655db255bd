// Package house checks the shape of the program's source tree: which package
// may import which. The rule is the one of ARCHITECTURE.md; [Rule] is its only
// other copy, and the tests of this package hold the tree to it.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Package is what `go list -json` tells about a package, as far as it is needed here.
type Package struct {
	ImportPath   string
	Imports      []string
	TestImports  []string // of the package's own test files
	XTestImports []string // of its external test package
}

// Rule says who may import whom. Package names are relative to the module; the
// module's root is ".". A package stands for those below it as well, unless
// they are named themselves.
type Rule struct {
	Module  string
	Inside  map[string][]string // package -> the module's packages it may import
	Outside map[string][]string // import path prefix -> the packages that may import it
	Tests   []string            // packages that only tests may import
}

// Layers is the import rule of cgs3fs: imports run one way, and each outside
// world comes in at one place.
var Layers = Rule{
	Module: "github.com/cgs3fs/cgs3fs",
	Inside: map[string][]string{
		".":        {"command"},
		"command":  {"fs", "snapshot", "cors", "transfer", "cache", "s3", "creds"},
		"fs":       {"transfer", "cache", "s3"},
		"transfer": {"cache", "s3"},
		"snapshot": {"s3"},
		"cors":     {"s3"},
		"cache":    {},
		"s3":       {},
		"creds":    {},
	},
	Outside: map[string][]string{
		"github.com/urfave/cli":                    {"command"},
		"github.com/hanwen/go-fuse":                {"fs"},
		"github.com/hashicorp/golang-lru":          {"cache"},
		"github.com/aws/aws-sdk-go-v2/service/s3":  {"s3"},
		"github.com/aws/aws-sdk-go-v2/config":      {"creds"},
		"github.com/aws/aws-sdk-go-v2/credentials": {"creds", "s3"},
		"github.com/aws/aws-sdk-go-v2":             {"s3", "creds", "command"},
		"github.com/aws/smithy-go":                 {"s3", "creds"},
	},
	Tests: []string{"s3/s3test"},
}

// List reads the packages of the module in dir as they are built for goos.
func List(dir, goos string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOWORK=off", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, stderr.Bytes())
	}
	var list []Package
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading what go list says about %s: %w", dir, err)
		}
		list = append(list, p)
	}
}

// Check returns one sentence for each import that the rule forbids.
func (r Rule) Check(list []Package) []string {
	var broken []string
	for _, p := range list {
		from := r.relative(p.ImportPath)
		for _, imported := range p.Imports {
			if why := r.forbids(from, imported, false); why != "" {
				broken = append(broken, why)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := r.forbids(from, imported, true); why != "" {
				broken = append(broken, "test of "+why)
			}
		}
	}
	return broken
}

func (r Rule) forbids(from, imported string, test bool) string {
	if imported != r.Module && !strings.HasPrefix(imported, r.Module+"/") {
		return r.forbidsOutside(from, imported, test)
	}
	to := r.relative(imported)
	if slices.Contains(r.Tests, to) {
		if test || slices.Contains(r.Tests, from) {
			return ""
		}
		return fmt.Sprintf("%s imports %s, which is for tests only", from, to)
	}
	home, ok := r.layer(from)
	if !ok {
		return fmt.Sprintf("%s is no package that the rule knows", from)
	}
	target, _ := r.layer(to)
	if target == home || slices.Contains(r.Inside[home], target) {
		return ""
	}
	return fmt.Sprintf("%s imports %s: %s may import %v of the module", from, to, home, r.Inside[home])
}

// forbidsOutside looks at an import from outside the module. The longest prefix
// decides. Tests may use what they like of the outside, for a test may need an
// independent client.
func (r Rule) forbidsOutside(from, imported string, test bool) string {
	longest := ""
	for prefix := range r.Outside {
		if under(imported, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	if longest == "" || test {
		return ""
	}
	home, _ := r.layer(from)
	if slices.Contains(r.Outside[longest], home) && !slices.Contains(r.Tests, from) {
		return ""
	}
	return fmt.Sprintf("%s imports %s: only %v may", from, imported, r.Outside[longest])
}

// layer finds the package of the rule that name belongs to: itself or the
// nearest one above it.
func (r Rule) layer(name string) (string, bool) {
	for {
		if _, ok := r.Inside[name]; ok {
			return name, true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return name, false
		}
		name = name[:i]
	}
}

func (r Rule) relative(importPath string) string {
	if importPath == r.Module {
		return "."
	}
	return strings.TrimPrefix(importPath, r.Module+"/")
}

// under reports whether an import path is prefix, a package below it, or a
// major version of it (urfave/cli/v2).
func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
