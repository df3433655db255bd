package s3

import (
	"errors"
	"slices"
)

// inBatches calls del for each run of targets that one request can hold, and
// gathers what could not be deleted into one *DeleteError.
func inBatches(targets []Target, del func([]Target) error) error {
	var failed DeleteError
	for batch := range slices.Chunk(targets, MaxDelete) {
		failed.merge(batch, del(batch))
	}
	return failed.orNil()
}

// merge adds what a failed Delete of batch could not remove: what it lists, or
// all of it.
func (e *DeleteError) merge(batch []Target, err error) {
	if err == nil {
		return
	}
	if some, ok := errors.AsType[*DeleteError](err); ok {
		e.add(firstKey(some), some.First)
		for key, err := range some.Failed {
			e.add(key, err)
		}
		return
	}
	for _, t := range batch {
		e.add(t.Key, err)
	}
}

// firstKey returns the key that e.First is about.
func firstKey(e *DeleteError) string {
	for key, err := range e.Failed {
		if err == e.First {
			return key
		}
	}
	return ""
}
