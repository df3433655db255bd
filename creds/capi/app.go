package capi

import (
	"context"
	"encoding/json"
	"net/url"
)

// App returns the GUID of an app. One that is not there is ErrNotFound.
func (c *Client) App(ctx context.Context, spaceGUID, name string) (guid string, err error) {
	found, err := all[named](ctx, c, "looking for the app "+name, "/v3/apps",
		url.Values{"names": {values(name)}, "space_guids": {spaceGUID}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &Error{Kind: ErrNotFound, Text: "no app " + name + " in this space", Advice: "cf apps lists them"}
	}
	return found[0].GUID, nil
}

// AppEnv returns what the platform puts into an app's environment, as JSON:
// VCAP_SERVICES, or a message that it is hidden from this user. Each call is
// written to the platform's audit log.
func (c *Client) AppEnv(ctx context.Context, appGUID string) (json.RawMessage, error) {
	var answer struct {
		System json.RawMessage `json:"system_env_json"`
	}
	err := c.get(ctx, "reading the app's environment", "/v3/apps/"+url.PathEscape(appGUID)+"/env", &answer)
	return answer.System, err
}
