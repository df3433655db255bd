package s3

// VersioningState says whether a bucket keeps old versions. Empty is a bucket
// that never did.
type VersioningState string

// The states that S3 knows beside the empty one.
const (
	VersioningEnabled   VersioningState = "Enabled"
	VersioningSuspended VersioningState = "Suspended"
)
