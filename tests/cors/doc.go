// Package cors tests the cors commands and the rules' evaluation against what
// they are for: a real S3 server, the aws command line that shares the bucket's
// rules with ours, and a real browser.
package cors
