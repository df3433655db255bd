package s3

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var errSamePage = errors.New("the next page is this one again")

// versionsPage takes a page out of the SDK's answer, which has the versions and
// the delete markers in two lists. VersionsPage.Next is the key, escaped, a
// slash, and the version ID.
func versionsPage(out *sdk.ListObjectVersionsOutput) (VersionsPage, error) {
	decode := func(s *string) (string, error) { return aws.ToString(s), nil }
	if out.EncodingType == types.EncodingTypeUrl {
		decode = func(s *string) (string, error) { return url.QueryUnescape(aws.ToString(s)) }
	}
	var page VersionsPage
	for _, v := range out.Versions {
		key, err := decode(v.Key)
		if err != nil {
			return VersionsPage{}, err
		}
		page.Versions = append(page.Versions, Version{
			Object: Object{
				Key: key, Size: aws.ToInt64(v.Size), ETag: aws.ToString(v.ETag), LastModified: aws.ToTime(v.LastModified),
				StorageClass: class(string(v.StorageClass)), VersionID: aws.ToString(v.VersionId),
			},
			Latest: aws.ToBool(v.IsLatest),
		})
	}
	for _, m := range out.DeleteMarkers {
		key, err := decode(m.Key)
		if err != nil {
			return VersionsPage{}, err
		}
		page.Versions = append(page.Versions, Version{
			Object:  Object{Key: key, LastModified: aws.ToTime(m.LastModified), VersionID: aws.ToString(m.VersionId)},
			Latest:  aws.ToBool(m.IsLatest),
			Deleted: true,
		})
	}
	slices.SortStableFunc(page.Versions, olderLater)
	if out.IsTruncated == nil {
		return VersionsPage{}, errors.New("the list does not say whether it is complete")
	}
	if !*out.IsTruncated {
		return page, nil
	}
	key, err := decode(out.NextKeyMarker)
	if err != nil {
		return VersionsPage{}, err
	}
	page.Next = url.QueryEscape(key) + "/" + aws.ToString(out.NextVersionIdMarker)
	return page, nil
}

// olderLater orders by key, then the latest first, then by falling age.
func olderLater(a, b Version) int {
	switch {
	case a.Key != b.Key:
		return strings.Compare(a.Key, b.Key)
	case a.Latest != b.Latest:
		if a.Latest {
			return -1
		}
		return 1
	}
	return b.LastModified.Compare(a.LastModified)
}
