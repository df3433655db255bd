package s3

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// GetCORS implements [CORS].
func (c *Client) GetCORS(ctx context.Context) ([]CORSRule, error) {
	out, err := c.sdk().GetBucketCors(ctx, &sdk.GetBucketCorsInput{Bucket: c.bucket})
	if err != nil {
		e := classify(ctx, OpGetCORS, "", err)
		if e.Code == "NoSuchCORSConfiguration" {
			return nil, nil
		}
		return nil, e
	}
	rules := make([]CORSRule, len(out.CORSRules))
	for i, r := range out.CORSRules {
		rules[i] = CORSRule{
			ID:             aws.ToString(r.ID),
			AllowedOrigins: r.AllowedOrigins,
			AllowedMethods: r.AllowedMethods,
			AllowedHeaders: r.AllowedHeaders,
			ExposeHeaders:  r.ExposeHeaders,
			MaxAgeSeconds:  r.MaxAgeSeconds,
		}
	}
	return rules, nil
}

// PutCORS implements [CORS].
func (c *Client) PutCORS(ctx context.Context, rules []CORSRule) error {
	list := make([]types.CORSRule, len(rules))
	for i, r := range rules {
		list[i] = types.CORSRule{
			ID:             opt(r.ID),
			AllowedOrigins: notNil(r.AllowedOrigins),
			AllowedMethods: notNil(r.AllowedMethods),
			AllowedHeaders: r.AllowedHeaders,
			ExposeHeaders:  r.ExposeHeaders,
			MaxAgeSeconds:  r.MaxAgeSeconds,
		}
	}
	_, err := c.sdk().PutBucketCors(ctx, &sdk.PutBucketCorsInput{
		Bucket: c.bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: list},
	})
	return classifyOrNil(ctx, OpPutCORS, "", err)
}

// notNil is for what the SDK calls required, and S3 checks better.
func notNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// DeleteCORS implements [CORS].
func (c *Client) DeleteCORS(ctx context.Context) error {
	_, err := c.sdk().DeleteBucketCors(ctx, &sdk.DeleteBucketCorsInput{Bucket: c.bucket})
	return classifyOrNil(ctx, OpDeleteCORS, "", err)
}

// GetTags implements [Tags].
func (c *Client) GetTags(ctx context.Context, key, versionID string) (map[string]string, error) {
	out, err := c.sdk().GetObjectTagging(ctx, &sdk.GetObjectTaggingInput{
		Bucket: c.bucket, Key: &key, VersionId: opt(versionID), RequestPayer: c.payer,
	})
	if err != nil {
		e := classify(ctx, OpGetTags, key, err)
		if e.Code == "NoSuchTagSet" || e.Code == "NoSuchTagSetError" {
			return nil, nil
		}
		return nil, e
	}
	var tags map[string]string
	for _, t := range out.TagSet {
		if tags == nil {
			tags = map[string]string{}
		}
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

// PutTags implements [Tags].
func (c *Client) PutTags(ctx context.Context, key, versionID string, tags map[string]string) error {
	set := []types.Tag{}
	for k, v := range tags {
		set = append(set, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	_, err := c.sdk().PutObjectTagging(ctx, &sdk.PutObjectTaggingInput{
		Bucket: c.bucket, Key: &key, VersionId: opt(versionID), Tagging: &types.Tagging{TagSet: set}, RequestPayer: c.payer,
	})
	return classifyOrNil(ctx, OpPutTags, key, err)
}

// Versioning implements [Versions].
func (c *Client) Versioning(ctx context.Context) (VersioningState, error) {
	out, err := c.sdk().GetBucketVersioning(ctx, &sdk.GetBucketVersioningInput{Bucket: c.bucket})
	if err != nil {
		return "", classify(ctx, OpGetVersioning, "", err)
	}
	return VersioningState(out.Status), nil
}

// SetVersioning implements [Versions].
func (c *Client) SetVersioning(ctx context.Context, state VersioningState) error {
	_, err := c.sdk().PutBucketVersioning(ctx, &sdk.PutBucketVersioningInput{
		Bucket:                  c.bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(state)},
	})
	return classifyOrNil(ctx, OpPutVersioning, "", err)
}

// ListVersions implements [Versions].
func (c *Client) ListVersions(ctx context.Context, in VersionsInput) (VersionsPage, error) {
	q := &sdk.ListObjectVersionsInput{
		Bucket: c.bucket, Prefix: opt(in.Prefix), EncodingType: types.EncodingTypeUrl, RequestPayer: c.payer,
	}
	if in.Token != "" {
		key, id, _ := strings.Cut(in.Token, "/")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return VersionsPage{}, &Error{Op: OpListVersions, Key: in.Prefix, Kind: ErrInvalid, Err: err}
		}
		q.KeyMarker, q.VersionIdMarker = opt(key), opt(id)
	}
	if in.Max > 0 {
		q.MaxKeys = aws.Int32(int32(min(in.Max, MaxPage)))
	}
	out, err := c.sdk().ListObjectVersions(ctx, q)
	if err != nil {
		return VersionsPage{}, classify(ctx, OpListVersions, in.Prefix, err)
	}
	page, err := versionsPage(out)
	if err == nil && page.Next != "" && page.Next == in.Token {
		err = errSamePage
	}
	if err != nil {
		return VersionsPage{}, &Error{Op: OpListVersions, Key: in.Prefix, Kind: ErrCorrupt, Err: err}
	}
	return page, nil
}

func classifyOrNil(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	return classify(ctx, op, key, err)
}
