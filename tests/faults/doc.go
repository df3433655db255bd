// Package faults hurts the mounted program on purpose: kills it at every kind
// of moment, hangs, cuts and fails its server, takes away its memory, disk,
// descriptors and credentials, and races it against others; and checks that
// nothing that was acknowledged is lost, nothing half is ever an object,
// and nothing waits for ever.
package faults
