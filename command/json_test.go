package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

// printed is what each command with --json prints, by its full name. Those that
// print what others define have nothing: env the names of environment variables,
// cors show Amazon's document.
var printed = map[string][]any{
	"status":               {statusJSON{}, mountJSON{}},
	"recover":              {keptJSON{}},
	"recover list":         {keptJSON{}},
	"env":                  nil,
	"services":             {serviceRow{}},
	"rotate":               {rotated{}},
	"cors show":            nil,
	"cors test":            {checkJSON{}},
	"snapshot":             {createdJSON{}, snapshot.Estimate{}},
	"snapshot create":      {createdJSON{}, snapshot.Estimate{}},
	"snapshot list":        {snapshot.Info{}},
	"snapshot show":        {snapshot.Manifest{}, entryJSON{}},
	"snapshot verify":      {verifiedJSON{}},
	"snapshot diff":        {changeJSON{}, diffStat{}},
	"snapshot restore":     {restoredJSON{}},
	"snapshot prune":       {prunedJSON{}},
	"snapshot delete":      {removedJSON{}},
	"snapshot adopt":       {createdJSON{}, snapshot.Estimate{}},
	"snapshot materialize": {materializedJSON{}},
	"doctor":               {finding{}},
	"version":              {versionJSON{}},
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// foreign are the keys below which others chose the names: S3 those of requests
// and of CORS rules.
var foreign = []string{"requests", "cors"}

// Programs that read --json rely on one convention.
func TestKeysOfAllJSONAreSnakeCase(t *testing.T) {
	var names []string
	var walk func(prefix string, all []*cli.Command)
	walk = func(prefix string, all []*cli.Command) {
		for _, c := range all {
			if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == "json" }) {
				names = append(names, prefix+c.Name)
			}
			walk(prefix+c.Name+" ", c.Subcommands)
		}
	}
	walk("", commands())
	for _, name := range names {
		values, ok := printed[name]
		if !ok {
			t.Errorf("what does %s --json print? This test does not know", name)
		}
		for _, v := range values {
			full := reflect.New(reflect.TypeOf(v))
			fill(full.Elem())
			if bad := oddKeys(t, full.Interface()); len(bad) > 0 {
				t.Errorf("%s --json: %T has keys %q", name, v, bad)
			}
		}
	}
	if len(names) != len(printed) {
		t.Errorf("%d commands have --json, not %d", len(names), len(printed))
	}
}

// oddKeys are the keys of v as JSON that are not in snake case.
func oddKeys(t *testing.T, v any) []string {
	t.Helper()
	var text bytes.Buffer
	if err := printJSON(&text, v); err != nil {
		t.Fatal(err)
	}
	var bad []string
	d := json.NewDecoder(&text)
	var value func()
	value = func() {
		switch open, err := d.Token(); {
		case err != nil:
			t.Fatal(err)
		case open == json.Delim('['):
			for d.More() {
				value()
			}
			_, _ = d.Token()
		case open == json.Delim('{'):
			for d.More() {
				key, _ := d.Token()
				if !snakeCase.MatchString(fmt.Sprint(key)) {
					bad = append(bad, fmt.Sprint(key))
				}
				if slices.Contains(foreign, fmt.Sprint(key)) {
					var skipped json.RawMessage
					if err := d.Decode(&skipped); err != nil && err != io.EOF {
						t.Fatal(err)
					}
					continue
				}
				value()
			}
			_, _ = d.Token()
		}
	}
	value()
	return bad
}

// fill sets everything that is left out while it is empty.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem)
		v.SetMapIndex(reflect.ValueOf("name").Convert(v.Type().Key()), elem)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	}
}
