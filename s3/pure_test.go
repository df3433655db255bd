package s3

import (
	"net/url"
	"testing"

	"pgregory.net/rapid"
)

func TestRegionInHostNames(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://s3.us-gov-west-1.amazonaws.com":                "us-gov-west-1",
		"https://s3-us-gov-west-1.amazonaws.com":                "us-gov-west-1",
		"https://s3-fips.us-gov-west-1.amazonaws.com":           "us-gov-west-1",
		"https://s3-fips-us-gov-west-1.amazonaws.com":           "us-gov-west-1",
		"https://s3.dualstack.us-east-2.amazonaws.com":          "us-east-2",
		"https://s3-fips.dualstack.us-gov-east-1.amazonaws.com": "us-gov-east-1",
		"https://s3.cn-north-1.amazonaws.com.cn":                "cn-north-1",
		"https://s3.amazonaws.com":                              "",
		"https://minio.us-east-1.example.com":                   "",
		"http://127.0.0.1:9000":                                 "",
	} {
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := regionOf(u); got != want {
			t.Errorf("%s: got %q, want %q", endpoint, got, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := []Config{
		{Bucket: "b"},
		{Bucket: "b", Endpoint: "s3.us-gov-west-1.amazonaws.com"},
		{Bucket: "b.c", Endpoint: "http://127.0.0.1:9000/path"},
		{Bucket: "b", Encryption: Encryption{Algorithm: "aws:kms", KMSKey: "k"}},
	}
	for _, c := range good {
		if _, err := Open(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	bad := []Config{
		{},
		{Bucket: "a/b"},
		{Bucket: "a b"},
		{Bucket: "b", Endpoint: "ftp://x"},
		{Bucket: "b", Endpoint: "https://"},
		{Bucket: "b", Endpoint: "https://user:secret@host"},
		{Bucket: "b", Endpoint: "https://host?x=y"},
		{Bucket: "b", Endpoint: "https://a b"},
		{Bucket: "b", Encryption: Encryption{KMSKey: "k"}},
		{Bucket: "b", CABundle: []byte("nothing")},
	}
	for _, c := range bad {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestPublicPolicies(t *testing.T) {
	tests := []struct {
		policy string
		want   bool
	}{
		{`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, true},
		{`{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["s3:ListBucket","s3:Get*"]}}`, true},
		{`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::1:root","*"]},"Action":"*"}]}`, true},
		{`{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:PutObject"}]}`, true},
		{`{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:GetObject"}]}`, true},
		{`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject"}]}`, false},
		{`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:GetObject"}]}`, false},
		{`{"Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:*"}]}`, false},
		{`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket"}]}`, false},
		{`{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:Get*"}]}`, false},
		{`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`, false},
		{`{}`, false},
	}
	for _, test := range tests {
		if got, err := isPublic(test.policy); err != nil || got != test.want {
			t.Errorf("%s: got %v, %v", test.policy, got, err)
		}
	}
	for _, broken := range []string{"", "[]", `{"Statement":5}`, `{"Statement":[{"Principal":5}]}`} {
		if _, err := isPublic(broken); err == nil {
			t.Errorf("%s was accepted", broken)
		}
	}
}

func TestCopyRangesCoverTheObjectOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, MaxObject).Draw(t, "size")
		part := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1<<20, MaxPartSize)).Draw(t, "part")
		ranges := copyRanges(size, part)
		if len(ranges) > MaxParts {
			t.Fatalf("%d parts", len(ranges))
		}
		next := int64(0)
		for i, r := range ranges {
			if r.Offset != next || r.Length < 1 || r.Length > MaxPartSize || i > 0 && i < len(ranges)-1 && r.Length != ranges[0].Length {
				t.Fatalf("range %d is %+v", i, r)
			}
			next += r.Length
		}
		if next != size {
			t.Fatalf("%d of %d bytes", next, size)
		}
	})
}

func TestPositionSurvivesItsToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := position{
			token: rapid.StringN(1, 50, -1).Draw(t, "token"),
			last:  rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }).Draw(t, "last"),
			empty: rapid.IntRange(0, 1000).Draw(t, "empty"),
		}
		got, err := parsePosition(ListInput{Token: want.String()})
		if err != nil || got != want {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}
