package s3test

import (
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
)

func testCORS(s *suite) {
	b, ok := s3.As[s3.CORS](s.Bucket)
	if !ok {
		s.Skip("the bucket has no CORS")
	}
	rules, err := b.GetCORS(s.Context())
	s.ok(err)
	s.equal("rules of a new bucket", len(rules), 0)
	age := int32(3600)
	want := []s3.CORSRule{
		{
			ID: "app", AllowedOrigins: []string{"https://app.example.gov", "https://*.example.gov"},
			AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: &age,
		},
		{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"HEAD"}},
	}
	s.ok(b.PutCORS(s.Context(), want))
	rules, err = b.GetCORS(s.Context())
	s.ok(err)
	if diff := cmp.Diff(want, rules); diff != "" {
		s.Errorf("rules (-want +got):\n%s", diff)
	}
	s.fails(b.PutCORS(s.Context(), nil), s3.ErrInvalid)
	s.ok(b.DeleteCORS(s.Context()))
	s.ok(b.DeleteCORS(s.Context()))
	rules, err = b.GetCORS(s.Context())
	s.ok(err)
	s.equal("rules after their deletion", len(rules), 0)
}

func testVersions(s *suite) {
	b, ok := s3.As[s3.Versions](s.Bucket)
	if !ok || s.features.NoVersions {
		s.Skip("the bucket has no versions")
	}
	state, err := b.Versioning(s.Context())
	s.ok(err)
	s.equal("state of a new bucket", state, s3.VersioningState(""))
	s.ok(b.SetVersioning(s.Context(), s3.VersioningEnabled))
	state, err = b.Versioning(s.Context())
	s.ok(err)
	s.equal("state", state, s3.VersioningEnabled)

	first := s.put("a", "first")
	second := s.put("a", "second")
	if first.VersionID == "" || first.VersionID == second.VersionID {
		s.Errorf("versions %q and %q", first.VersionID, second.VersionID)
	}
	s.put("b", "x")
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a"}))
	_, err = s.Head(s.Context(), "a")
	s.fails(err, s3.ErrNotFound)
	s.equal("old version", s.read("a", s3.GetOptions{VersionID: first.VersionID}), "first")
	_, err = s.Copy(s.Context(), s3.Source{Key: "a", VersionID: second.VersionID}, "undeleted", s3.CopyOptions{})
	s.ok(err)
	s.equal("undeleted", s.read("undeleted", s3.GetOptions{}), "second")

	want := []string{"a marker latest", "a " + second.VersionID, "a " + first.VersionID}
	s.equal("versions", s.versions(b, "a", 0), want)
	if !s.features.NoVersionsPages {
		s.equal("versions one by one", s.versions(b, "a", 1), want)
	}
	s.ok(s.Delete(s.Context(), s3.Target{Key: "a", VersionID: second.VersionID}, s3.Target{Key: "b"}))
	s.equal("versions left", s.versions(b, "a", 0), []string{"a marker latest", "a " + first.VersionID})
}

// versions lists what there is below prefix.
func (s *suite) versions(b s3.Versions, prefix string, limit int) []string {
	s.Helper()
	var list []string
	in := s3.VersionsInput{Prefix: prefix, Max: limit}
	for range 100 {
		page, err := b.ListVersions(s.Context(), in)
		s.ok(err)
		for _, v := range page.Versions {
			line := fmt.Sprintf("%s %s", v.Key, v.VersionID)
			if v.Deleted {
				line = v.Key + " marker"
			}
			if v.Latest {
				line += " latest"
			}
			list = append(list, line)
		}
		if page.Next == "" {
			return list
		}
		in.Token = page.Next
	}
	s.Fatal("the list does not end")
	return nil
}
