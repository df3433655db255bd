package house

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImportsFollowTheRule(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		list, err := List(filepath.Join("..", ".."), goos)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			t.Fatal("go list found no package")
		}
		for _, why := range Layers.Check(list) {
			t.Errorf("%s: %s", goos, why)
		}
	}
}

// The fixture is a module of the same name that breaks the rule in every way
// it can be broken, and keeps it in the ways that look like breaking it.
func TestBrokenRuleIsNoticed(t *testing.T) {
	list, err := List(filepath.Join("testdata", "broken"), "linux")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, why := range Layers.Check(list) {
		got = append(got, strings.SplitN(why, ":", 2)[0])
	}
	slices.Sort(got)
	want := []string{
		". imports s3",
		"cache imports s3",
		"cors imports github.com/urfave/cli/v2",
		"creds imports github.com/hashicorp/golang-lru/v2",
		"fs imports github.com/aws/aws-sdk-go-v2/service/s3/types",
		"fs imports s3/s3test, which is for tests only",
		"s3 imports creds",
		"test of transfer imports fs",
		"transfer imports github.com/hanwen/go-fuse/v2/fuse",
		"util is no package that the rule knows",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations found (-want +got):\n%s", diff)
	}
}
