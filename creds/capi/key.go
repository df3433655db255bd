package capi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"time"
)

// How a job is waited for: brokers take seconds, or minutes on a bad day.
const (
	firstPoll = time.Second
	lastPoll  = 10 * time.Second
	jobTime   = 10 * time.Minute
)

// CreateKey makes a service key and waits until it is there. A key of this name
// that is there already is returned as it is, so calling again after a failure
// never makes two. parameters may be nil.
func (c *Client) CreateKey(ctx context.Context, instanceGUID, name string, parameters map[string]any) (Binding, error) {
	doing := "making the service key " + name
	type data map[string]any
	body := data{
		"type": "key", "name": name,
		"relationships": data{"service_instance": data{"data": data{"guid": instanceGUID}}},
	}
	if parameters != nil {
		body["parameters"] = parameters
	}
	header, err := c.call(ctx, doing, http.MethodPost, "/v3/service_credential_bindings", body, nil)
	var failed *Error
	switch {
	case errors.As(err, &failed) && failed.Code == codeUnprocessable:
		// Perhaps the name is taken: by an earlier try of ours, or on purpose.
		return c.existingKey(ctx, instanceGUID, name, failed)
	case err != nil:
		return Binding{}, err
	}
	if err := c.wait(ctx, doing, header.Get("Location")); err != nil {
		return Binding{}, err
	}
	keys, err := c.Keys(ctx, instanceGUID, name)
	if err != nil {
		return Binding{}, err
	}
	if len(keys) == 0 || !keys[0].Ready {
		return Binding{}, &Error{Kind: ErrUnavailable, Text: doing + ": it is not there although its job is done", Advice: "see cf service-keys"}
	}
	return keys[0], nil
}

// existingKey returns the key of a name, waiting for one that is half made. If
// there is none the refusal had another reason.
func (c *Client) existingKey(ctx context.Context, instanceGUID, name string, refusal *Error) (Binding, error) {
	deadline := c.cfg.Now().Add(jobTime)
	c.cfg.Progress("waiting for the service key " + name)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		keys, err := c.Keys(ctx, instanceGUID, name)
		switch {
		case err != nil:
			return Binding{}, err
		case len(keys) == 0:
			return Binding{}, refusal
		case keys[0].Ready:
			return keys[0], nil
		case keys[0].Failed || c.cfg.Now().After(deadline):
			return Binding{}, &Error{
				Kind: ErrFailed, Text: "a service key " + name + " is there but could not be made",
				Advice: "remove it with cf delete-service-key",
			}
		}
		if err := c.cfg.Sleep(ctx, pause); err != nil {
			return Binding{}, err
		}
	}
}

// DeleteKey deletes a service key and waits until it is gone. One that is gone
// already is no error.
func (c *Client) DeleteKey(ctx context.Context, guid string) error {
	const doing = "deleting a service key"
	header, err := c.call(ctx, doing, http.MethodDelete, "/v3/service_credential_bindings/"+url.PathEscape(guid), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.wait(ctx, doing, header.Get("Location"))
}

// wait polls a job until it is done. An answer without a job was done at once.
func (c *Client) wait(ctx context.Context, doing, location string) error {
	if location == "" {
		return nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return &Error{Kind: ErrFailed, Text: doing + ": the job has no address"}
	}
	job := "/v3/jobs/" + url.PathEscape(path.Base(u.Path)) // only its id: the token goes to no other server
	deadline := c.cfg.Now().Add(jobTime)
	c.cfg.Progress(doing)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		var answer struct {
			State  string
			Errors []struct{ Detail string }
		}
		if err := c.get(ctx, doing, job, &answer); err != nil {
			return err
		}
		switch answer.State {
		case "COMPLETE":
			return nil
		case "FAILED":
			e := &Error{Kind: ErrFailed, Text: doing + ": the service broker refused", Advice: "a failed key stays in cf service-keys until it is deleted"}
			if len(answer.Errors) > 0 {
				e.Text += ": " + cleanLine(answer.Errors[0].Detail)
			}
			return e
		}
		if c.cfg.Now().After(deadline) {
			return &Error{Kind: ErrUnavailable, Text: fmt.Sprintf("%s: not done after %v", doing, jobTime), Advice: "see cf service-keys in a while"}
		}
		if err := c.cfg.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}
