// Package s3 is one bucket: requests, errors and limits.
//
// [Bucket] is the whole of S3 that the rest of the program knows. [Open] makes
// one that talks to a server through the AWS SDK; everything else is a
// decorator that embeds a Bucket and overrides what it changes: [Retry],
// [Limit], [Observe]. Package s3test has an in-memory Bucket, a
// fault-injecting one, and the conformance suite that all of them pass.
//
// # Errors
//
// Every error that a Bucket returns is an [*Error] whose Kind is one of the
// Err… values of this package, so that errors.Is works through any number of
// decorators. Nothing in the program matches error text. The SDK's errors are
// classified once, in classify.go.
//
// # Versions
//
// An ETag names one version of an object. It is kept exactly as the server
// sends it, quotes included, and is only ever compared for equality.
package s3
