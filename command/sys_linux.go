package command

import "golang.org/x/sys/unix"

const detachFlag = unix.MNT_DETACH

func dup(from, to int) error { return unix.Dup3(from, to, 0) }

func forbidDump() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
