package capi

import (
	"context"
	"net/url"
	"strconv"
	"strings"
)

const (
	perPage  = 200  // the API allows 5,000, and proxies cut slow answers off
	maxPages = 1000 // a listing that is longer is a loop
)

// page is one page of any listing.
type page[T any] struct {
	Pagination struct {
		Next *struct{ Href string }
	}
	Resources []T
	Included  included
}

// included are the resources that a listing brings along.
type included struct {
	ServicePlans     []planResource     `json:"service_plans"`
	ServiceOfferings []offeringResource `json:"service_offerings"`
	Apps             []appResource      `json:"apps"`
}

// list reads all pages of a listing. What each page includes is passed on with
// its resources.
func list[T any](ctx context.Context, c *Client, doing, path string, filter url.Values, each func([]T, included)) error {
	if filter == nil {
		filter = url.Values{}
	}
	filter.Set("per_page", strconv.Itoa(perPage))
	next := path + "?" + filter.Encode()
	for range maxPages {
		var p page[T]
		if err := c.get(ctx, doing, next, &p); err != nil {
			return err
		}
		each(p.Resources, p.Included)
		if p.Pagination.Next == nil || p.Pagination.Next.Href == "" {
			return nil
		}
		// Only path and query: the token goes to no other server.
		u, err := url.Parse(p.Pagination.Next.Href)
		if err != nil || u.RequestURI() == next {
			break
		}
		next = u.RequestURI()
	}
	return &Error{Kind: ErrFailed, Text: doing + ": the listing never ends"}
}

// all collects a listing of which nothing is included.
func all[T any](ctx context.Context, c *Client, doing, path string, filter url.Values) ([]T, error) {
	var out []T
	err := list(ctx, c, doing, path, filter, func(r []T, _ included) { out = append(out, r...) })
	return out, err
}

// values joins the values of a filter. The Cloud Controller splits at commas and
// unescapes each value once more after that, so what is special is escaped here,
// before the query as a whole is.
func values(list ...string) string {
	escaped := make([]string, len(list))
	for i, s := range list {
		escaped[i] = strings.NewReplacer("%", "%25", ",", "%2C", "+", "%2B").Replace(s)
	}
	return strings.Join(escaped, ",")
}
