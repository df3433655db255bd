package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ListPage implements [Bucket]. It trusts the server in nothing: a page that is
// out of order, goes back, leaves the prefix or does not move on is ErrCorrupt.
func (c *Client) ListPage(ctx context.Context, in ListInput) (Page, error) {
	pos, err := parsePosition(in)
	if err != nil {
		return Page{}, &Error{Op: OpList, Key: in.Prefix, Kind: ErrInvalid, Err: err}
	}
	q := &sdk.ListObjectsV2Input{
		Bucket: c.bucket, Prefix: opt(in.Prefix), Delimiter: opt(in.Delimiter), RequestPayer: c.payer,
		ContinuationToken: opt(pos.token), EncodingType: types.EncodingTypeUrl,
	}
	if pos.token == "" {
		q.StartAfter = opt(in.StartAfter)
	}
	if in.Max > 0 {
		q.MaxKeys = aws.Int32(int32(min(in.Max, MaxPage)))
	}
	var l *listing
	if _, err := c.sdk().ListObjectsV2(context.WithValue(ctx, listingKey{}, &l), q); err != nil {
		e := classify(ctx, OpList, in.Prefix, err)
		if e.Kind == ErrNotFound {
			e.Kind = ErrNoBucket // there is nothing else that a listing could lack
		}
		return Page{}, e
	}
	page, err := l.page()
	if err == nil {
		page.Next, err = pos.after(in, page, l.truncated == "true", l.next)
	}
	if err != nil {
		return Page{}, &Error{Op: OpList, Key: in.Prefix, Kind: ErrCorrupt, Err: fmt.Errorf("the listing makes no sense: %w", err)}
	}
	return page, nil
}

// listingKey is the key in a request's context under which the address is
// where the watchdog leaves the parsed listing.
type listingKey struct{}

// divertListing parses a listing for whoever waits for it. The SDK gets an
// empty one.
func divertListing(resp *http.Response, to **listing) error {
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	l, err := parseListing(data)
	switch {
	case err != nil:
		return err
	case l.root == "Error":
		resp.StatusCode = http.StatusInternalServerError
		resp.Body = rejoined(bytes.NewReader(data), resp.Body)
		liftErrorFacts(resp)
		return nil
	case l.root != roots[OpList]:
		return fmt.Errorf("%w: it is a document %q", errNotS3, l.root)
	}
	*to = l
	resp.Body = rejoined(strings.NewReader("<ListBucketResult/>"), resp.Body)
	return nil
}

// page decodes the listing.
func (l *listing) page() (Page, error) {
	if l.truncated != "true" && l.truncated != "false" {
		return Page{}, errors.New("it does not say whether it is complete")
	}
	page := Page{Objects: l.objects, Prefixes: l.prefixes}
	if l.encoding != "url" {
		return page, nil
	}
	var err error
	for i := range page.Objects {
		if page.Objects[i].Key, err = url.QueryUnescape(page.Objects[i].Key); err != nil {
			return Page{}, err
		}
	}
	for i := range page.Prefixes {
		if page.Prefixes[i], err = url.QueryUnescape(page.Prefixes[i]); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// maxEmptyPages is how many pages without an entry may follow each other. S3
// sends some when it has many deleted keys to skip.
const maxEmptyPages = 1000

// position is where a listing stands. Page.Next holds it all, so that each page
// can be checked against the one before it.
type position struct {
	token string // the server's
	last  string // the last name seen, or after which the listing begins
	empty int    // empty pages since then
}

func (p position) String() string {
	return strconv.Itoa(p.empty) + " " + strconv.Quote(p.last) + " " + p.token
}

func parsePosition(in ListInput) (position, error) {
	if in.Token == "" {
		return position{last: in.StartAfter}, nil
	}
	number, rest, _ := strings.Cut(in.Token, " ")
	empty, err := strconv.Atoi(number)
	if err != nil {
		return position{}, errors.New("not a token of ours")
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return position{}, errors.New("not a token of ours")
	}
	last, err := strconv.Unquote(quoted)
	token, found := strings.CutPrefix(rest[len(quoted):], " ")
	if err != nil || !found || token == "" {
		return position{}, errors.New("not a token of ours")
	}
	return position{token: token, last: last, empty: empty}, nil
}

// after checks the page at p and returns Page.Next.
func (p position) after(in ListInput, page Page, more bool, token string) (string, error) {
	last := p.last
	for _, o := range page.Objects {
		switch {
		case !strings.HasPrefix(o.Key, in.Prefix):
			return "", fmt.Errorf("key %q lacks the prefix %q", o.Key, in.Prefix)
		case o.Key <= last:
			return "", fmt.Errorf("key %q comes after %q", o.Key, last)
		case o.Size < 0:
			return "", fmt.Errorf("key %q has %d bytes", o.Key, o.Size)
		}
		last = o.Key
	}
	end, err := p.checkPrefixes(in, page.Prefixes)
	if err != nil {
		return "", err
	}
	next := position{token: token, last: max(last, end)}
	if len(page.Objects)+len(page.Prefixes) == 0 {
		next.empty = p.empty + 1
	}
	switch {
	case !more:
		return "", nil
	case token == "":
		return "", errors.New("there is more, but no token to ask for it")
	case token == p.token:
		return "", errors.New("the next page is this one again")
	case next.empty > maxEmptyPages:
		return "", fmt.Errorf("%d pages with nothing in them", next.empty)
	}
	return next.String(), nil
}

// checkPrefixes checks the common prefixes of a page and returns the last.
func (p position) checkPrefixes(in ListInput, prefixes []string) (string, error) {
	last := p.last
	if in.Token == "" {
		last = "" // StartAfter may be within the first common prefix
	}
	for _, prefix := range prefixes {
		switch {
		case in.Delimiter == "" || !strings.HasPrefix(prefix, in.Prefix) || !strings.HasSuffix(prefix, in.Delimiter) || prefix == in.Prefix:
			return "", fmt.Errorf("%q is no common prefix below %q", prefix, in.Prefix)
		case prefix <= last:
			return "", fmt.Errorf("prefix %q comes after %q", prefix, last)
		}
		last = prefix
	}
	return last, nil
}
