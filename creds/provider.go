package creds

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// How seldom a source is asked again. After a success the new key may need a
// few seconds before S3 knows it, so errors of that time ask nobody; after a
// failure the pause doubles.
const (
	settleTime   = 5 * time.Second
	firstBackoff = 2 * time.Second
	lastBackoff  = 5 * time.Minute
)

// expiryMargin is how long credentials must still be valid, so that they don't
// expire on the way.
const expiryMargin = time.Minute

// Provider gives the SDK the credentials of a binding, and can ask their source
// for newer ones. It is safe for concurrent use and never prints a secret.
type Provider struct {
	ask func(ctx context.Context, rejected keyring) (aws.Credentials, error) // nil: nobody to ask
	now func() time.Time

	asking   chan struct{} // holds one token while the source is being asked
	rejected keyring       // belongs to who holds the token; what S3 did not accept any more

	mu      sync.Mutex
	current aws.Credentials // guarded by mu
	changed time.Time       // guarded by mu; when current came, zero for those of the start
	failed  error           // guarded by mu; of the last Refresh
	pause   time.Duration   // guarded by mu; grows with each failure
	until   time.Time       // guarded by mu; nobody is asked before
}

// keyring is some access keys.
type keyring []aws.Credentials

func (k keyring) has(c aws.Credentials) bool {
	return slices.ContainsFunc(k, func(d aws.Credentials) bool {
		return c.AccessKeyID == d.AccessKeyID && c.SecretAccessKey == d.SecretAccessKey && c.SessionToken == d.SessionToken
	})
}

// maxRejected bounds how many keys are remembered as rejected; temporary ones
// pass by every hour.
const maxRejected = 16

func newProvider(c aws.Credentials, now func() time.Time,
	ask func(ctx context.Context, rejected keyring) (aws.Credentials, error),
) *Provider {
	return &Provider{ask: ask, now: now, asking: make(chan struct{}, 1), current: c}
}

// Retrieve returns the credentials of now. It asks the source only when they
// expire by their own date, as temporary ones of the SDK's chain do.
func (p *Provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := p.get()
	if !c.CanExpire || c.Expires.After(p.now().Add(expiryMargin)) {
		return c, nil
	}
	if err := p.Refresh(ctx); err != nil && !c.Expires.After(p.now()) {
		return aws.Credentials{}, err
	}
	return p.get(), nil
}

// Refresh asks the source for credentials to replace those that S3 rejected. It
// returns nil when others are there now, also if another call brought them
// while this one waited; ErrNoRefresh when the source has only the rejected
// ones or can't be asked again. One call asks at a time; the others wait for
// it. After a failure the same error is returned without asking until a pause
// is over that doubles from 2 seconds to 5 minutes.
func (p *Provider) Refresh(ctx context.Context) error { return p.refresh(ctx, false) }

// Reload takes what the source has now, also if nobody rejected the credentials
// of now and if Refresh would still pause. ErrNoRefresh is as with Refresh.
func (p *Provider) Reload(ctx context.Context) error { return p.refresh(ctx, true) }

func (p *Provider) refresh(ctx context.Context, told bool) error {
	if p.ask == nil {
		return &Error{Kind: ErrNoRefresh, Text: "the source of the credentials can't change while the program runs"}
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if done, err := p.settled(); done && !told {
		return err
	}
	before := p.get()
	known := keyring{before}
	var rejected keyring // told: the newest, whatever was thought of it
	if !told {
		// Remembered, so that two keys that are both bad don't take turns.
		if !p.rejected.has(before) {
			p.rejected = append(p.rejected[max(0, len(p.rejected)-maxRejected):], before)
		}
		known, rejected = p.rejected, p.rejected
	}
	fresh, err := p.ask(ctx, rejected)
	if ctx.Err() != nil {
		return ctx.Err() // says nothing about the source
	}
	if err == nil && known.has(fresh) {
		err = &Error{
			Kind: ErrNoRefresh, Text: fmt.Sprintf("%s has no other key than %s", before.Source, fresh.AccessKeyID),
			Advice: "make a new key, for example with cf create-service-key, or cgs3fs rotate SERVICE",
		}
	}
	if err == nil || !told { // being told too often is no reason to pause
		p.record(fresh, err)
	}
	return err
}

// settled tells whether the source need not be asked, and what to answer then.
func (p *Provider) settled() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case !p.changed.IsZero() && now.Before(p.changed.Add(settleTime)):
		return true, nil
	case now.Before(p.until):
		return true, p.failed
	}
	return false, nil
}

func (p *Provider) record(fresh aws.Credentials, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if err == nil {
		p.current, p.changed = fresh, now
		p.failed, p.pause, p.until = nil, 0, time.Time{}
		return
	}
	p.pause = min(max(2*p.pause, firstBackoff), lastBackoff)
	p.failed, p.until = err, now.Add(p.pause)
}

func (p *Provider) get() aws.Credentials {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// Source says where the credentials of now were found, for people.
func (p *Provider) Source() string { return p.get().Source }

// KeyID is the access key's id of now. It is no secret.
func (p *Provider) KeyID() string { return p.get().AccessKeyID }

// String says which key it is, never its secret.
func (p *Provider) String() string { return "key " + p.get().AccessKeyID }

// Format prints String for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// LogValue logs the key's id.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(p.String()) }
