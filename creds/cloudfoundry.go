package creds

import "context"

type cloudFoundry struct{ Request }

func (c cloudFoundry) named() bool   { return true }
func (c cloudFoundry) changes() bool { return true }
func (c cloudFoundry) find(ctx context.Context, rejected string) ([]candidate, error) {
	return nil, notHere("x")
}
