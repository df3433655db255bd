package creds

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cgs3fs/cgs3fs/creds/capi"
)

// Rotation replaces a service key by a new one. Between NewRotation and Finish
// both keys work, so that whoever uses the old one can move.
type Rotation struct {
	Old     string   // name of the key that goes
	New     string   // name of the key that comes
	Others  []string // other keys of the service, which stay
	Mine    bool     // the old key was made by this program for this host
	OldID   string   // access key id of the old key; set by Make
	Binding Binding  // with the new key; set by Make

	f        *cloudFoundry
	instance capi.Instance
	old, key capi.Binding
}

// NewRotation finds the key to replace: the one that the request names, the only
// one, or the one that this program made for this host. Where none of these is
// clear the error is ErrAmbiguous. Nothing is changed yet.
func NewRotation(ctx context.Context, r Request) (*Rotation, error) {
	r = r.withDefaults()
	if r.Service == "" {
		return nil, &Error{Kind: ErrUsage, Text: "rotate which service?", Advice: "cgs3fs services lists them"}
	}
	f := &cloudFoundry{Request: r}
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	i, err := f.instance(ctx)
	if err != nil {
		return nil, err
	}
	if !i.Managed {
		return nil, invalid("change its credentials with cf update-user-provided-service", "service %s is user-provided: it has no keys", i.Name)
	}
	keys, err := f.api.Keys(ctx, i.GUID)
	if err != nil {
		return nil, err
	}
	old, err := f.keyToReplace(i, keys)
	if err != nil {
		return nil, err
	}
	rot := &Rotation{
		Old: old.Name, New: f.nextName(old.Name, keys), Mine: f.madeHere(old.Name),
		f: f, instance: i, old: old,
	}
	for _, k := range keys {
		if k.GUID != old.GUID {
			rot.Others = append(rot.Others, k.Name)
		}
	}
	return rot, nil
}

func (f *cloudFoundry) keyToReplace(i capi.Instance, keys []capi.Binding) (capi.Binding, error) {
	ready := slices.DeleteFunc(slices.Clone(keys), func(k capi.Binding) bool { return !k.Ready })
	if len(ready) == 0 {
		return capi.Binding{}, &Error{
			Kind: ErrNotFound, Text: fmt.Sprintf("service %s has no key to replace", i.Name),
			Advice: "an app's credentials are replaced with cf unbind-service and cf bind-service",
		}
	}
	if f.Key != "" {
		at := slices.IndexFunc(ready, func(k capi.Binding) bool { return k.Name == f.Key })
		if at < 0 {
			return capi.Binding{}, &Error{Kind: ErrNotFound, Text: fmt.Sprintf("service %s has no key %s", i.Name, f.Key), Advice: "cf service-keys " + i.Name + " lists them"}
		}
		return ready[at], nil
	}
	if len(ready) == 1 {
		return ready[0], nil
	}
	mine := slices.DeleteFunc(slices.Clone(ready), func(k capi.Binding) bool { return !f.madeHere(k.Name) })
	if len(mine) == 1 {
		return mine[0], nil
	}
	e := &Error{Kind: ErrAmbiguous, Text: fmt.Sprintf("%d keys of service %s could be meant", len(ready), i.Name), Advice: "name one with --key"}
	for _, k := range ready {
		e.Candidates = append(e.Candidates, Candidate{Service: k.Name})
	}
	return capi.Binding{}, e
}

// madeHere tells whether this program made a key of that name on this host:
// keyName, or one of its successors.
func (f *cloudFoundry) madeHere(name string) bool {
	rest, ours := strings.CutPrefix(name, f.keyName())
	return ours && (rest == "" || stamp(rest) != "")
}

// stampForm is what nextName puts behind a key's name: the time in UTC.
const stampForm = "-20060102t150405"

// stamp returns the end of a name that nextName has put there, or "".
func stamp(name string) string {
	if len(name) < len(stampForm) {
		return ""
	}
	end := name[len(name)-len(stampForm):]
	if _, err := time.Parse(stampForm, end); err != nil {
		return ""
	}
	return end
}

// nextName is the successor of a key's name. A name is unique to its service.
func (f *cloudFoundry) nextName(old string, keys []capi.Binding) string {
	base := strings.TrimSuffix(old, stamp(old))
	at := f.Now().UTC()
	for {
		name := base + at.Format(stampForm)
		if !slices.ContainsFunc(keys, func(k capi.Binding) bool { return k.Name == name }) {
			return name
		}
		at = at.Add(time.Second)
	}
}

// Make makes the new key and sets Binding. S3 may need half a minute to know it.
func (r *Rotation) Make(ctx context.Context) error {
	old, err := r.f.firstAccepted(ctx, r.instance, []capi.Binding{r.old}, nil)
	if err != nil {
		return err
	}
	r.OldID = old.keys.AccessKeyID
	key, err := r.f.api.CreateKey(ctx, r.instance.GUID, r.New, nil)
	if err != nil {
		return err
	}
	r.key = key
	c, err := r.f.firstAccepted(ctx, r.instance, []capi.Binding{key}, nil)
	if err != nil {
		return err
	}
	r.Binding = r.f.bind(c)
	r.Binding.Fresh = true
	return nil
}

// Finish deletes the old key.
func (r *Rotation) Finish(ctx context.Context) error { return r.f.api.DeleteKey(ctx, r.old.GUID) }

// Undo deletes the new key, also one of which Make has only begun to hear.
func (r *Rotation) Undo(ctx context.Context) error {
	keys := []capi.Binding{r.key}
	if r.key.GUID == "" {
		var err error
		if keys, err = r.f.api.Keys(ctx, r.instance.GUID, r.New); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if err := r.f.api.DeleteKey(ctx, k.GUID); err != nil {
			return err
		}
	}
	return nil
}
