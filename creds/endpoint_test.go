package creds

import (
	"errors"
	"testing"
)

func TestAddressOfABucket(t *testing.T) {
	const gov = "s3-fips.us-gov-west-1.amazonaws.com"
	for _, tt := range []struct {
		name string
		in   fields
		want address
	}{
		{"cloud.gov now", fields{endpoint: gov, fips: gov, region: "us-gov-west-1"}, address{"https://" + gov, "us-gov-west-1", false}},
		{"cloud.gov 2020, dash form", fields{endpoint: "s3-us-gov-west-1.amazonaws.com", fips: gov}, address{"https://" + gov, "us-gov-west-1", false}},
		{"region only", fields{region: "us-west-2"}, address{"https://s3.us-west-2.amazonaws.com", "us-west-2", false}},
		{"China", fields{region: "cn-north-1"}, address{"https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1", false}},
		{"nothing", fields{}, address{}},
		{"FIPS alone", fields{fips: gov}, address{"https://" + gov, "us-gov-west-1", false}},
		{"FIPS alone, not Amazon's", fields{fips: "fips.minio:9000"}, address{"https://fips.minio:9000", "", true}},
		{"FIPS of another region", fields{region: "us-west-2", fips: gov}, address{"https://s3.us-west-2.amazonaws.com", "us-west-2", false}},
		{"MinIO mode", fields{endpoint: "s3.gdc.lan", fips: "s3-fips.us-east-1.amazonaws.com", region: "us-east-1"}, address{"https://s3.gdc.lan", "us-east-1", true}},
		{"old us-east-1", fields{endpoint: "s3.amazonaws.com"}, address{"https://s3.amazonaws.com", "us-east-1", false}},
		{"with a scheme and a port", fields{endpoint: "http://127.0.0.1:7070/"}, address{"http://127.0.0.1:7070", "", true}},
		{"a port without a scheme", fields{endpoint: "minio:9000"}, address{"https://minio:9000", "", true}},
		{"a path", fields{endpoint: "https://h/s3"}, address{"https://h/s3", "", true}},
		{"a bucket with a dot", fields{region: "us-west-2", bucket: "a.b"}, address{"https://s3.us-west-2.amazonaws.com", "us-west-2", true}},
		{"VPC endpoint", fields{endpoint: "https://bucket.vpce-1.s3.us-gov-west-1.vpce.amazonaws.com"}, address{"https://bucket.vpce-1.s3.us-gov-west-1.vpce.amazonaws.com", "us-gov-west-1", true}},
		{"dual stack", fields{endpoint: "s3.dualstack.us-west-2.amazonaws.com"}, address{"https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2", false}},
		{"not quite Amazon", fields{endpoint: "s3.us-west-2.amazonaws.com.example.org"}, address{"https://s3.us-west-2.amazonaws.com.example.org", "", true}},
		{"broken FIPS", fields{endpoint: "minio:9000", fips: "ftp://x"}, address{"https://minio:9000", "", true}},
	} {
		got, err := resolveAddress(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s: resolveAddress(%+v) = %+v, %v, want %+v", tt.name, tt.in, got, err, tt.want)
		}
	}
}

func TestBadEndpoints(t *testing.T) {
	for _, s := range []string{"ftp://h", "https://", "https://u:secret@h", "http://h?x=1", "http://h#f", "http://a b", "://", "http://:80"} {
		if got, err := parseEndpoint(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("parseEndpoint(%q) = %q, %v, want ErrInvalid", s, got, err)
		}
	}
}
