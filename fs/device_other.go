//go:build !linux

package fs

import "errors"

func deviceOf(string) (string, error) { return "", errors.ErrUnsupported }
