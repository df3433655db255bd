// Package capi is the part of Cloud Foundry's API version 3 that finding a
// bucket needs: organisations, spaces, service instances with their plans,
// service keys and app bindings with their credentials, and an app's
// environment.
//
// # Tokens
//
// The login is the one of the cf command line: $CF_HOME/.cf/config.json. Its
// access token is used while it is valid for another minute. Otherwise "cf
// oauth-token" renews it, and saves what it got; where there is no cf, or it
// fails, this package does the same: it asks the UAA with the refresh token and
// writes both tokens back. A UAA may hand out a refresh token only once, so an
// answer that is not saved would log the user's cf out. Hence the order in
// renew: lock, look whether somebody else was faster, make sure that the file
// can be written, ask, write. Fields of the file that this package doesn't know
// are kept.
//
// # Failures
//
// Errors are [*Error] values of one of the kinds Err…. A foundation that
// answers 429 or 5xx, or not at all, is asked up to five times. Requests that
// change something are repeated too, since each is safe to repeat: the name of
// a key is unique within its service instance, and a key can be deleted only
// once.
//
// Reading credentials or an app's environment is written to the platform's
// audit log, so nothing here polls them.
package capi
