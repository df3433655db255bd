package creds

import (
	"net/netip"
	"net/url"
	"strings"
)

// address is how a bucket's server is spoken to.
type address struct {
	endpoint  string // URL without a trailing slash; empty is AWS's own for the region
	region    string // empty where nobody told
	pathStyle bool
}

// resolveAddress decides how to reach the bucket that f names.
//
// Brokers give an endpoint without a scheme; https is meant. Their FIPS
// endpoint is taken instead when it is in the same region and the endpoint is
// AWS's; that of a broker for MinIO names AWS, where the bucket is not.
func resolveAddress(f fields) (address, error) {
	endpoint, err := parseEndpoint(f.endpoint)
	if err != nil {
		return address{}, err
	}
	fips, err := parseEndpoint(f.fips)
	if err != nil {
		fips = "" // a hint only: not worth stopping for
	}
	a := address{endpoint: endpoint, region: f.region}
	if a.region == "" {
		a.region = regionOfHost(hostOf(endpoint))
	}
	if a.region == "" && endpoint == "" {
		a.region = regionOfHost(hostOf(fips))
	}
	useFIPS := isAWS(hostOf(fips)) && regionOfHost(hostOf(fips)) == a.region
	switch {
	case endpoint == "" && fips != "" && !isAWS(hostOf(fips)):
		a.endpoint = fips
	case (endpoint == "" || isAWS(endpoint)) && useFIPS:
		a.endpoint = fips
	case endpoint == "" && a.region != "":
		a.endpoint = "https://s3." + a.region + awsSuffix(a.region)
	}
	a.pathStyle = needsPathStyle(a.endpoint, f.bucket)
	return a, nil
}

// parseEndpoint makes a URL of what a broker or a user gives: https unless
// another scheme is named, no trailing slash.
func parseEndpoint(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", nil
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	hint := "an endpoint looks like https://s3.us-gov-west-1.amazonaws.com"
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", invalid(hint, "the endpoint is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", invalid(hint, "the endpoint's scheme is neither http nor https")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", invalid(hint, "the endpoint has more than a scheme, a host and a path")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// needsPathStyle tells how a bucket is addressed: virtual-hosted where that is
// known to work, at AWS. A dot in the bucket's name would not fit AWS's
// wildcard certificate, and "bucket.vpce-….amazonaws.com" is a host for path
// style.
func needsPathStyle(endpoint, bucket string) bool {
	host := hostOf(endpoint)
	switch {
	case endpoint == "":
		return strings.Contains(bucket, ".")
	case !isAWS(host):
		return true
	}
	return strings.Contains(bucket, ".") || strings.HasPrefix(host, "bucket.vpce-")
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// isAWS tells whether a host, or the host of a URL, is Amazon's.
func isAWS(host string) bool {
	if strings.Contains(host, "://") {
		host = hostOf(host)
	}
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

func awsSuffix(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return ".amazonaws.com.cn"
	}
	return ".amazonaws.com"
}

// regionOfHost reads the region from one of AWS's host names for S3:
// s3.REGION, s3-REGION, s3-fips.REGION, s3.dualstack.REGION, …vpce's
// s3.REGION.vpce; the bare s3.amazonaws.com is us-east-1.
func regionOfHost(host string) string {
	if _, err := netip.ParseAddr(host); err == nil || !isAWS(host) {
		return ""
	}
	name := strings.TrimSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
	name = strings.TrimSuffix(name, ".vpce")
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	switch {
	case last == "s3":
		return "us-east-1"
	case len(labels) == 1 || !strings.HasPrefix(labels[len(labels)-2], "s3") && labels[len(labels)-2] != "dualstack":
		region := strings.TrimPrefix(strings.TrimPrefix(last, "s3-"), "fips-")
		if region == last {
			return ""
		}
		return region
	}
	return last
}
