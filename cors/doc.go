// Package cors is CORS rules as values: parse, print, check, match, change and
// compare. It is pure functions: nothing in it talks to a server or reads a
// file.
//
// # What the rules do
//
// A browser lets a page of one origin (scheme, host and port) read what another
// origin answers only if that answer says so in Access-Control-Allow-Origin.
// Before a request that an HTML form could not have sent it also asks, by an
// OPTIONS request called the preflight. S3 gives both answers from the bucket's
// CORS rules, and [Evaluate] gives the same answers from the same rules.
//
// The rules restrain browsers and nobody else: they are no access control. A
// program that is not a browser can do what its credentials allow whatever the
// rules say, and a browser that is allowed to ask still needs the right to read.
//
// # Sources
//
// The evaluation is that of the S3 user guide ("Using cross-origin resource
// sharing", "Elements of a CORS configuration", "Troubleshooting CORS") and of
// the API reference's page on OPTIONS: the first rule that allows the origin,
// the method and every requested header decides. What browsers send and accept
// is the Fetch standard's (fetch.spec.whatwg.org). The limits are PutBucketCors's.
package cors
