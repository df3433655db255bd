package s3

import (
	"context"
	"io"
	"time"
)

// Limits of S3 itself, from the "Amazon S3 multipart upload limits" page of its
// user guide. Sizes in bytes.
const (
	MinPartSize  = 5 << 20 // of every part but the last
	MaxPartSize  = 5 << 30 // of a part, of one Put, and of one Copy's source
	MaxParts     = 10_000  // of one upload
	MaxObject    = 5 << 40 // the limit every S3 server of note honours
	MaxKeyLength = 1024    // in bytes of UTF-8
	MaxDelete    = 1000    // keys in one bulk delete
	MaxPage      = 1000    // entries in one page of a listing
)

// Object is what a listing tells about an object.
type Object struct {
	Key          string
	Size         int64 // bytes
	ETag         string
	LastModified time.Time
	StorageClass string // empty is STANDARD
	VersionID    string // empty where the bucket has no versions, and in plain listings
}

// Attributes travel with an object: the headers that S3 keeps and gives back,
// and the user metadata. Keys of Metadata are lower case and lack the
// x-amz-meta- prefix.
type Attributes struct {
	ContentType        string
	ContentEncoding    string
	ContentLanguage    string
	ContentDisposition string
	CacheControl       string
	Expires            string // as the server sent it; an HTTP date
	WebsiteRedirect    string
	Metadata           map[string]string
}

// Info is what a Head, a Get or a write tells about an object. After a write
// only the Object part, and what the server answered, is filled in; S3 does not
// tell LastModified after a Put or Complete, nor Size after a Copy, where it is -1.
type Info struct {
	Object
	Attributes
	Checksum string // "crc64nvme:BASE64" or another "algorithm:BASE64"; empty if the server told none
	Tags     int    // how many tags the object has
	Parts    int    // of a multipart object, where the server tells
}

// Range is a run of bytes. The zero Range is the whole object; a zero Length
// is everything from Offset on.
type Range struct{ Offset, Length int64 }

// GetOptions restrict a Get. The zero value asks for the whole current object.
type GetOptions struct {
	Range       Range
	IfMatch     string // ETag; another version is ErrChanged
	IfNoneMatch string // ETag; the same version is ErrNotModified
	VersionID   string
}

// Body is an object's content on its way. Info.Size is the size of the whole
// object, Range is the run of bytes that Read will deliver, with Length filled
// in. Read returns io.EOF only after all of it; a body cut short is an error.
// The reader must Close it, and may do so early.
type Body struct {
	io.ReadCloser
	Info  Info
	Range Range
}

// PutOptions say what an object is to be and under which condition it may be
// written. IfMatch needs the current ETag to be that one (else ErrChanged);
// IfNoneMatch "*" needs the key to be free (else ErrExists).
type PutOptions struct {
	Attributes
	StorageClass string
	Tags         map[string]string
	IfMatch      string
	IfNoneMatch  string
}

// Source is what a server-side copy reads. With ETag set another version is
// ErrChanged. Bucket is empty for the bucket itself.
type Source struct {
	Bucket    string
	Key       string
	VersionID string
	ETag      string
}

// CopyOptions say what differs between a copy and its source. Attributes nil
// keeps the source's, and so do Tags; the conditions are PutOptions'.
type CopyOptions struct {
	Attributes   *Attributes
	DropTags     bool // for keys that may not read or write tags
	StorageClass string
	IfMatch      string
	IfNoneMatch  string
}

// Target names what Delete removes. With ETag set only that version of the
// object is removed (else ErrChanged); with VersionID, that old version for ever.
// Weak does without the ETag where the server compares it only in a request for
// each object.
type Target struct {
	Key       string
	ETag      string
	Weak      bool
	VersionID string
}

// ListInput asks for one page of a listing in key order.
type ListInput struct {
	Prefix     string
	Delimiter  string // "" or "/"
	StartAfter string // only keys after this one; used when Token is empty
	Token      string // Page.Next of the page before
	Max        int    // entries at most; 0 is MaxPage
}

// Page is one page of a listing. Next is empty on the last page, and only
// there: a page that could not be read whole is an error, never a short page.
type Page struct {
	Objects  []Object
	Prefixes []string // with Delimiter: the common prefixes, delimiter included
	Next     string
}

// PendingUpload is a multipart upload that was begun and neither completed nor
// aborted.
type PendingUpload struct {
	Key       string
	ID        string
	Initiated time.Time
}

// Part is a part of an upload that the server has acknowledged.
type Part struct {
	Number   int // 1 to MaxParts
	ETag     string
	Size     int64
	Checksum string // as Info.Checksum, where the server told one
}

// Bucket is one bucket. Implementations are safe for concurrent use. Every
// error is an *Error. A write that returns nil has been acknowledged by the
// server as a whole; one that returns ErrUnavailable may or may not have
// happened.
type Bucket interface {
	// Head returns ErrNotFound if there is no such object.
	Head(ctx context.Context, key string) (Info, error)

	// Get starts reading an object. A range that begins at or after the end is
	// ErrRange.
	Get(ctx context.Context, key string, o GetOptions) (*Body, error)

	// ListPage reads one page. Objects and prefixes are each in byte order.
	ListPage(ctx context.Context, in ListInput) (Page, error)

	// Put writes a whole object of at most MaxPartSize bytes. It may read body
	// more than once, seeking back to where it stood.
	Put(ctx context.Context, key string, body io.ReadSeeker, o PutOptions) (Info, error)

	// Copy copies an object of at most MaxPartSize bytes on the server's side.
	// See [CopyObject] for objects of any size.
	Copy(ctx context.Context, src Source, dst string, o CopyOptions) (Info, error)

	// Delete removes objects; one that is not there counts as removed. Any
	// number may be given. If some could not be removed the error is a
	// *DeleteError that lists them.
	Delete(ctx context.Context, targets ...Target) error

	// NewUpload begins a multipart upload. The conditions in o are checked when
	// it completes.
	NewUpload(ctx context.Context, key string, o PutOptions) (Upload, error)

	// ResumeUpload picks up an upload that NewUpload began, also in another
	// process, with the parts the server has. No such upload: ErrNoUpload.
	ResumeUpload(ctx context.Context, key, id string, o PutOptions) (Upload, error)

	// ListUploads returns all pending uploads whose key begins with prefix.
	ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error)
}

// Upload is one multipart upload. Part and CopyPart may be called at the same
// time for different numbers; calling one again for a number replaces that
// part. After Complete or Abort has returned nil the upload is over.
type Upload interface {
	Key() string
	ID() string

	// Part sends part n; like Put it may read body more than once.
	Part(ctx context.Context, n int, body io.ReadSeeker) (Part, error)

	// CopyPart makes part n of a run of bytes of an object.
	CopyPart(ctx context.Context, n int, src Source, r Range) (Part, error)

	// Parts returns the acknowledged parts in order of their numbers.
	Parts() []Part

	// Complete makes the object of the parts so far. The key holds its old
	// content until Complete has happened, and the whole new one after it.
	Complete(ctx context.Context) (Info, error)

	// Abort gives the upload up and frees its parts. Aborting an upload that is
	// gone is no error.
	Abort(ctx context.Context) error
}
