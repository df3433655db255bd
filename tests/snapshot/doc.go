// Package snapshot tests the snapshot commands against a real S3 server, and
// with the other tools that people read their copies with.
package snapshot
