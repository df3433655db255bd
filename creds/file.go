package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// credentialsFile is what --credentials names.
type credentialsFile struct{ Request }

func (f credentialsFile) named() bool { return true }

func (f credentialsFile) find(ctx context.Context) ([]candidate, error) {
	if f.File == "-" {
		return f.look(ctx) // can be read only once
	}
	return repeatable(ctx, f.look)
}

func (f credentialsFile) look(context.Context) ([]candidate, error) {
	text, name, err := f.read()
	if err != nil {
		return nil, err
	}
	found, err := parseDocument(text).candidates(name)
	if errors.Is(err, ErrNotHere) {
		return nil, invalid(
			"it should hold VCAP_SERVICES as JSON, or what cf service-key SERVICE KEY prints",
			"no S3 credentials in %s", name)
	}
	return found, err
}

func (f credentialsFile) read() (text []byte, name string, err error) {
	if f.File != "-" {
		text, err = readPrivate(f.Request, f.File, "--credentials")
		return text, f.File, err
	}
	if f.Stdin == nil {
		return nil, "", &Error{Kind: ErrUsage, Text: "--credentials -: there is no standard input"}
	}
	text, err = readAll(f.Stdin, "standard input")
	return text, "standard input", err
}

// readPrivate reads a file of credentials, and warns when others may read it
// too. what says why it is read, for errors.
func readPrivate(r Request, name, what string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fileError(what, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileError(what, err)
	}
	if info.IsDir() {
		return nil, invalid("give the file itself", "%s: %s is a directory", what, name)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o044 != 0 {
		r.Log.Warn("others on this machine may read the file with credentials; run chmod 600 on it",
			"file", name, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
	return readAll(file, name)
}

func readAll(from io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxDocument+1))
	if err != nil {
		return nil, fileError("reading credentials", err)
	}
	if len(text) > maxDocument {
		return nil, invalid("is it the right file?", "%s is too long for credentials", name)
	}
	return text, nil
}

// fileError makes an Error of one of package os, whose text names the file.
func fileError(what string, err error) error {
	e := &Error{Kind: ErrInvalid, Text: what, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Advice = ErrNotFound, "check the path"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Advice = ErrDenied, "check the file's owner and mode"
	}
	return e
}
