package cors

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// An origin is what the browser's address bar shows up to the first slash:
// scheme, host, and the port unless it is the scheme's own. S3 compares it with
// AllowedOrigins byte by byte.

// placeholder is the example of Cloud.gov's handbook, which many a bucket has
// in its rules.
const placeholder = "YOUR.OTHER.APP.IP"

// originError says why a browser never sends an origin that matches o; empty if
// one may.
func originError(o string) string {
	if strings.Count(o, "*") > 1 {
		return "has more than one *, which S3 refuses"
	}
	if o == "null" || matchesEverySite(o) {
		return ""
	}
	if o != strings.TrimSpace(o) || strings.ContainsAny(o, " \t\r\n\"'") || o == "" {
		return "is empty, or has spaces or quotes in it"
	}
	if strings.EqualFold(o, placeholder) {
		return "is the handbook's placeholder, not the address of a site"
	}
	scheme, rest, ok := strings.Cut(o, "://")
	if !ok {
		return schemeless(o)
	}
	if why := schemeError(scheme); why != "" {
		return why
	}
	return authorityError(scheme, rest)
}

func schemeless(o string) string {
	switch {
	case strings.HasPrefix(o, "*"):
		return "" // works, see originDangers
	case isAddress(o):
		return "is an IP address without a scheme; browsers send the address of the page, with its scheme"
	default:
		return "has no scheme, so no browser's origin ever matches it"
	}
}

func schemeError(scheme string) string {
	switch {
	case scheme != strings.ToLower(scheme):
		return "has upper case in it; browsers send origins in lower case, and S3 compares exactly"
	case slices.Contains([]string{"file", "data", "blob"}, scheme):
		return fmt.Sprintf(`can't match: a browser sends "null" for a page from %s:`, scheme)
	case slices.Contains([]string{"ws", "wss", "ftp"}, scheme):
		return fmt.Sprintf("can't match: no page comes from %s:, and a page that uses it still has its own origin", scheme)
	}
	return ""
}

var (
	hostChars = regexp.MustCompile(`^[a-z0-9._*-]+$`)
	ipv6Host  = regexp.MustCompile(`^\[[0-9a-f:.]+\]$`)
	portChars = regexp.MustCompile(`^([0-9]{1,5}|[0-9]*\*[0-9]*)$`)
)

func authorityError(scheme, rest string) string {
	if authority, path, cut := cutAny(rest, "/?#"); cut {
		if path == "" && !strings.ContainsAny(rest, "?#") && authority != "" {
			return "ends in a slash; an origin has none, and S3 compares exactly"
		}
		return "has a path; an origin ends with the host, or its port"
	}
	if strings.Contains(rest, "@") {
		return "has a user in it, which browsers leave out of the origin"
	}
	host, port, hasPort := cutPort(rest)
	switch {
	case rest != strings.ToLower(rest):
		return "has upper case in it; browsers send origins in lower case, and S3 compares exactly"
	case strings.ContainsFunc(rest, func(c rune) bool { return c > 127 }):
		return `has letters beyond ASCII; browsers send such names in their "xn--" form`
	case !hostChars.MatchString(host) && !ipv6Host.MatchString(host):
		return "has no valid host name"
	case hasPort && !portChars.MatchString(port):
		return "has no valid port"
	case scheme == "https" && port == "443", scheme == "http" && port == "80":
		return "names the scheme's own port, which browsers leave out of the origin"
	}
	return ""
}

// originFix is what was probably meant by o; empty if that can't be told.
func originFix(o string) string {
	if strings.EqualFold(o, placeholder) {
		return "https://your-app.app.cloud.gov"
	}
	fixed := strings.ToLower(strings.Trim(o, " \t\r\n\"'"))
	scheme, rest, ok := strings.Cut(fixed, "://")
	if !ok {
		scheme, rest = "https", strings.TrimLeft(fixed, "/")
	}
	if scheme == "" || rest == "https" || rest == "http" {
		return ""
	}
	rest, _, _ = cutAny(rest, "/?#")
	rest = rest[strings.LastIndex(rest, "@")+1:]
	host, port, _ := cutPort(rest)
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		rest = host
	}
	fixed = scheme + "://" + rest
	if fixed == o || originError(fixed) != "" {
		return ""
	}
	return fixed
}

// originDangers are the things that o allows and that people may not have
// meant, apart from what [anySiteWrites] says.
func originDangers(o string) []string {
	if o == "null" {
		return []string{`lets pages without an origin of their own in: any file opened from a disk, and any site through a sandboxed frame`}
	}
	if o == "*" {
		return nil
	}
	if matchesEverySite(o) {
		return []string{"lets every site of that scheme in"}
	}
	var out []string
	if plainHTTP(o) {
		out = append(out, "is plain http: anybody between the visitor and the site can change the page and use the bucket through it")
	}
	before, after, star := strings.Cut(o, "*")
	switch {
	case !star:
	case !strings.Contains(before, "://"):
		out = append(out, "doesn't fix the scheme, so that plain http pages get in as well")
	case after == "" && !strings.HasSuffix(before, ":"):
		out = append(out, fmt.Sprintf("also lets %sevil.example in, a site that anybody can set up", before+"."))
	case strings.Trim(after, "0123456789:") == "":
		// any port of one host
	case !strings.HasPrefix(after, ".") && strings.HasSuffix(before, "://"):
		out = append(out, fmt.Sprintf("also lets %sevil%s in, a name that anybody may register", before, after))
	case strings.Count(strings.Trim(after, "."), ".") == 0 && strings.HasSuffix(before, "://"):
		out = append(out, fmt.Sprintf("lets every site under %s in", after))
	}
	return out
}

// matchesEverySite tells whether o matches every https or every http origin.
func matchesEverySite(o string) bool {
	before, after, star := strings.Cut(o, "*")
	return star && after == "" && (strings.HasPrefix("https://", before) || strings.HasPrefix("http://", before))
}

// plainHTTP tells whether o is an http origin that isn't this machine's own,
// which browsers trust like https.
func plainHTTP(o string) bool {
	rest, ok := strings.CutPrefix(o, "http://")
	if !ok {
		return false
	}
	host, _, _ := cutPort(rest)
	return host != "localhost" && !strings.HasSuffix(host, ".localhost") && host != "[::1]" && !strings.HasPrefix(host, "127.")
}

func isAddress(o string) bool {
	host, _, _ := cutPort(o)
	host, _, _ = cutAny(host, "/")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// cutPort splits host:port, leaving the colons of an IPv6 address alone.
func cutPort(authority string) (host, port string, found bool) {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') &&
		(strings.HasPrefix(authority, "[") || strings.Count(authority, ":") == 1) {
		return authority[:i], authority[i+1:], true
	}
	return authority, "", false
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
