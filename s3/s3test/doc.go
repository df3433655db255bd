// Package s3test holds what tests of a bucket, and of everything above one,
// stand on. Only tests import it.
//
//   - [Mem] is an in-memory bucket that behaves as S3 does.
//   - [Faulty] wraps any bucket and makes it fail by a plan, which is a value:
//     explicit, or drawn from a seed. It also counts the calls.
//   - [Run] is the conformance suite that every bucket passes. It runs over Mem
//     and over a real server, so that what is proved with Mem holds for both.
//   - [Transport] fails below the SDK, on the way to a real or scripted server.
package s3test
