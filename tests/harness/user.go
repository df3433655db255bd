package harness

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// User is an account without rights to run the program as. The methods of a
// nil *User stand for the user who runs the tests.
type User struct{ UID, GID uint32 }

// Nobody is the account that every system has for those who own nothing. Only
// root can act as somebody else: otherwise the test is skipped, and the tests
// that need no other user are run by one who is unprivileged anyhow.
func Nobody(t testing.TB) *User {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("acting as another user needs root")
	}
	account, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat("/dev/fuse"); err == nil && st.Mode().Perm()&0o006 != 0o006 {
		t.Fatal("ordinary users may not open /dev/fuse here: make deps mends that")
	}
	return &User{UID: uint32(uid), GID: uint32(gid)}
}

func (u *User) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID}
}

func (u *User) own(t testing.TB, path string) {
	t.Helper()
	if u == nil {
		return
	}
	if err := os.Chown(path, int(u.UID), int(u.GID)); err != nil {
		t.Fatal(err)
	}
}
