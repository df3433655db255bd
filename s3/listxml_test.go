package s3

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reference is a listing as encoding/xml knows it.
type reference struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string
	IsTruncated           string
	NextContinuationToken string
	Contents              []struct {
		Key, ETag, LastModified, StorageClass string
		Size                                  int64
		Owner                                 struct{ ID string }
	}
	CommonPrefixes []struct{ Prefix string }
}

func TestListingIsParsedAsXMLIs(t *testing.T) {
	text := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("<>&\"'\t\n\r ]]>/x")), rapid.Rune()))
	rapid.Check(t, func(t *rapid.T) {
		var want reference
		want.EncodingType = rapid.SampledFrom([]string{"", "url"}).Draw(t, "encoding")
		want.IsTruncated = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "truncated")
		want.NextContinuationToken = text.Draw(t, "token")
		for range rapid.IntRange(0, 5).Draw(t, "objects") {
			o := struct {
				Key, ETag, LastModified, StorageClass string
				Size                                  int64
				Owner                                 struct{ ID string }
			}{Key: text.Draw(t, "key"), ETag: text.Draw(t, "etag"), StorageClass: text.Draw(t, "class"), Size: rapid.Int64().Draw(t, "size")}
			o.LastModified = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0).UTC().Format("2006-01-02T15:04:05.000Z")
			o.Owner.ID = "not a key"
			want.Contents = append(want.Contents, o)
		}
		for range rapid.IntRange(0, 3).Draw(t, "prefixes") {
			want.CommonPrefixes = append(want.CommonPrefixes, struct{ Prefix string }{text.Draw(t, "prefix")})
		}
		data, err := xml.MarshalIndent(want, "", rapid.SampledFrom([]string{"", "\n  "}).Draw(t, "indent"))
		if err != nil {
			t.Skip(err)
		}
		var ref reference // what is left of it after XML
		if err := xml.Unmarshal(data, &ref); err != nil {
			t.Fatal(err)
		}
		got, err := parseListing(append([]byte(xml.Header), data...))
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if got.encoding != ref.EncodingType || got.truncated != ref.IsTruncated || got.next != ref.NextContinuationToken ||
			len(got.objects) != len(ref.Contents) || len(got.prefixes) != len(ref.CommonPrefixes) {
			t.Fatalf("got %+v of %s", got, data)
		}
		for i, o := range got.objects {
			r := ref.Contents[i]
			if r.StorageClass == "STANDARD" {
				r.StorageClass = ""
			}
			if o.Key != r.Key || o.ETag != r.ETag || o.StorageClass != r.StorageClass || o.Size != r.Size ||
				o.LastModified.Format("2006-01-02T15:04:05.000Z") != r.LastModified {
				t.Fatalf("got %+v of %+v", o, r)
			}
		}
		for i, p := range got.prefixes {
			if p != ref.CommonPrefixes[i].Prefix {
				t.Fatalf("got the prefix %q of %q", p, ref.CommonPrefixes[i].Prefix)
			}
		}
	})
}

func TestListingsOfOtherServers(t *testing.T) {
	got, err := parseListing([]byte(`<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment <Contents> -->
<s3:ListBucketResult xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>b</Name><Prefix/><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>
  <s3:Contents><s3:Key><![CDATA[a&amp;<b>]]>&#99;&#x64;</s3:Key><Owner><ID>x</ID><Key>wrong</Key></Owner><Size>5</Size>
    <LastModified>2026-11-23T17:00:00Z</LastModified><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ETag>&quot;e&quot;</ETag></s3:Contents>
</s3:ListBucketResult>
`))
	want := []Object{{Key: "a&amp;<b>cd", Size: 5, ETag: `"e"`, LastModified: time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC)}}
	if err != nil || got.truncated != "false" {
		t.Fatalf("%+v, %v", got, err)
	}
	if diff := cmp.Diff(want, got.objects); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListingsThatAreNoXML(t *testing.T) {
	for _, doc := range []string{
		"", " ", "text", "<", "<a", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a/>text", "<a>&nbsp;</a>", "<a>&#xffffffff;</a>", "<a>&amp</a>",
		"<a></a/>", "<>", "< />", "<a", "<?xml", "<!--", "<a><![CDATA[</a>", "<!DOCTYPE html><html/>", "<a>&#x110000;</a>",
		"<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Size></Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><LastModified>yesterday</LastModified></Contents></ListBucketResult>",
	} {
		if got, err := parseListing([]byte(doc)); err == nil {
			t.Errorf("%q was parsed as %+v", doc, got)
		}
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add("<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>&amp;&#13;</Key><Size>1</Size></Contents></ListBucketResult>")
	f.Add("<a><![CDATA[<]]></a>")
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := parseListing([]byte(doc))
		if err != nil {
			return
		}
		var ref reference
		if xml.Unmarshal([]byte(doc), &ref) != nil || strings.Contains(doc, "<!") || strings.Contains(doc, ":") {
			return // that one is stricter, and knows namespaces
		}
		if len(ref.Contents) != len(got.objects) {
			t.Fatalf("%d objects, encoding/xml finds %d", len(got.objects), len(ref.Contents))
		}
		for i, o := range got.objects {
			if o.Size != ref.Contents[i].Size && ref.Contents[i].Size != 0 {
				t.Fatalf("got %+v, encoding/xml %+v", o, ref.Contents[i])
			}
		}
	})
}

func BenchmarkParseListing(b *testing.B) {
	doc := "<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>" + strings.Repeat(
		"<Contents><Key>dir%2Fobject000001</Key><LastModified>2026-11-23T17:00:00.000Z</LastModified>"+
			"<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>",
		MaxPage) + "</ListBucketResult>"
	b.ReportAllocs()
	for b.Loop() {
		l, err := parseListing([]byte(doc))
		if err != nil || len(l.objects) != MaxPage {
			b.Fatal(err)
		}
		if _, err := l.page(); err != nil {
			b.Fatal(err)
		}
	}
}
