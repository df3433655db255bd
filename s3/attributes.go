package s3

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// headers is Attributes and encryption as the SDK's inputs want them.
type headers struct {
	contentType, contentEncoding, contentLanguage     *string
	contentDisposition, cacheControl, websiteRedirect *string
	expires                                           *time.Time
	metadata                                          map[string]string
	encryption                                        types.ServerSideEncryption
	kmsKey                                            *string
}

func (c *Client) headers(a Attributes) (headers, error) {
	if err := checkHeaders(a); err != nil {
		return headers{}, err
	}
	metadata, err := encodeMetadata(a.Metadata)
	if err != nil {
		return headers{}, err
	}
	h := headers{
		contentType: opt(a.ContentType), contentEncoding: opt(a.ContentEncoding), contentLanguage: opt(a.ContentLanguage),
		contentDisposition: opt(a.ContentDisposition), cacheControl: opt(a.CacheControl), websiteRedirect: opt(a.WebsiteRedirect),
		metadata:   metadata,
		encryption: types.ServerSideEncryption(c.cfg.Encryption.Algorithm), kmsKey: opt(c.cfg.Encryption.KMSKey),
	}
	if a.Expires != "" {
		t, err := http.ParseTime(a.Expires)
		if err != nil {
			return headers{}, fmt.Errorf("attribute Expires: %w", err)
		}
		h.expires = &t
	}
	return h, nil
}
