// Package s3 is one bucket: requests, errors and limits.
//
// [Bucket] is the whole of S3 that the rest of the program knows. [Open] makes
// one that talks to a server through the AWS SDK; everything else is a
// decorator that wraps a Bucket and changes what it is there for. They go
// around each other in this order:
//
//	Retry(Limit(Observe(client, see), limits), retries)
//
// so that Observe sees every attempt, and what waits for its next attempt lets
// others go first. [CopyObject] and [List] do what takes more than one request.
// Package s3test has an in-memory Bucket, a fault-injecting one, and the
// conformance suite that all of them pass.
//
// # Retries
//
// Only [Retry] tries again. It has to know what a repetition may do: a write
// whose answer was lost is recognised when its next attempt is refused, by a
// random number in the object's metadata (nonce.go). That number is seen by
// other programs as x-amz-meta-cgs3fs-write, and by nobody above Retry. What a
// begin without an answer may have begun is aborted (retryupload.go).
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
