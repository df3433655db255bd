package s3

// S3's names of the operations, as they stand in Error.Op and Event.Op.
const (
	OpHead           = "HeadObject"
	OpGet            = "GetObject"
	OpList           = "ListObjectsV2"
	OpPut            = "PutObject"
	OpCopy           = "CopyObject"
	OpDelete         = "DeleteObjects"
	OpNewUpload      = "CreateMultipartUpload"
	OpListParts      = "ListParts"
	OpListUploads    = "ListMultipartUploads"
	OpPart           = "UploadPart"
	OpCopyPart       = "UploadPartCopy"
	OpCompleteUpload = "CompleteMultipartUpload"
	OpAbortUpload    = "AbortMultipartUpload"

	OpGetCORS       = "GetBucketCors"
	OpPutCORS       = "PutBucketCors"
	OpDeleteCORS    = "DeleteBucketCors"
	OpGetTags       = "GetObjectTagging"
	OpPutTags       = "PutObjectTagging"
	OpGetVersioning = "GetBucketVersioning"
	OpPutVersioning = "PutBucketVersioning"
	OpListVersions  = "ListObjectVersions"
	OpGetPolicy     = "GetBucketPolicy"
)
