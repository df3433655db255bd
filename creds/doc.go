// Package creds finds the bucket and the right to use it, and keeps that right
// fresh.
//
// [Find] asks one source after the other; the first that has a bucket wins:
//
//  1. --profile: the AWS SDK's own chain, with --bucket.
//  2. --credentials FILE or "-": any text in which Cloud Foundry shows
//     credentials (see below).
//  3. --service, --key, --app: the Cloud Controller, package creds/capi.
//     A --service that the program's own VCAP_SERVICES has is taken from there.
//  4. VCAP_SERVICES, the file at VCAP_SERVICES_FILE_PATH, the directory
//     SERVICE_BINDING_ROOT: where an app finds its services.
//  5. AWS_ACCESS_KEY_ID and its companions with BUCKET_NAME, which the
//     handbook of Cloud.gov has people export.
//  6. The one S3 service of the space that "cf target" shows.
//  7. With --bucket, the AWS SDK's own chain; before 6 if --endpoint-url or
//     AWS_PROFILE shows that Cloud Foundry is not meant.
//
// A source that does not apply says ErrNotHere, with the reason, and the next
// is asked. Any other error ends the search: a credentials file that cannot be
// read must never make the program use another bucket.
//
// # Documents
//
// Credentials come as JSON or as the text of "cf env" and "cf service-key", in
// the forms of cf 6, 7 and 8. The fields in them differ by service broker and
// by year, and bindings keep the form of the day they were made, so all of them
// still occur. document.go finds the services in a text, fields.go reads the
// fields of one, endpoint.go decides how its server is spoken to; the three
// know nothing of where the text came from.
//
// # Secrets
//
// A [Binding] and its [Provider] never show a secret, however they are printed,
// logged or marshalled. Errors quote no part of a document. [Binding.Export] is
// the one way out.
//
// # Refresh
//
// Keys of Cloud Foundry do not expire but are rotated and deleted. When S3 says
// that a key is gone, [Provider.Refresh] asks the source that gave it, and only
// that source, once at a time and ever more seldom. It never polls: reading
// credentials is written to the platform's audit log.
package creds
