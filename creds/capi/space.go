package capi

import (
	"context"
	"fmt"
	"net/url"
)

// named is any resource that has a name.
type named struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

// Organization returns the GUID of an organisation. One that is not there, or
// not for this user, is ErrNotFound.
func (c *Client) Organization(ctx context.Context, name string) (guid string, err error) {
	found, err := all[named](ctx, c, "looking for the org "+name, "/v3/organizations", url.Values{"names": {values(name)}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &Error{Kind: ErrNotFound, Text: "no org " + name + " for this user", Advice: "cf orgs lists yours"}
	}
	return found[0].GUID, nil
}

// Space returns the GUID of a space of an organisation, ErrNotFound likewise.
func (c *Client) Space(ctx context.Context, orgGUID, name string) (guid string, err error) {
	found, err := all[named](ctx, c, "looking for the space "+name, "/v3/spaces",
		url.Values{"names": {values(name)}, "organization_guids": {orgGUID}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &Error{Kind: ErrNotFound, Text: fmt.Sprintf("no space %s in that org for this user", name), Advice: "cf spaces lists yours"}
	}
	return found[0].GUID, nil
}
