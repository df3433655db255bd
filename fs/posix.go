package fs

import (
	"fmt"
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Metadata keys that s3fs and rclone write too, so that a bucket can move
// between the programs.
const (
	metaMtime = "mtime" // seconds since 1970, with a fraction
	metaMode  = "mode"  // st_mode: decimal as s3fs writes it; octal as rclone does is understood
	metaUID   = "uid"
	metaGID   = "gid"
)

// posix is what POSIX keeps about a file and S3 does not: each field counts
// only if its bit is set. The zero value knows nothing.
type posix struct {
	has      uint8
	mode     uint32 // permission bits
	uid, gid uint32
	mtime    time.Time
}

const (
	hasMode uint8 = 1 << iota
	hasUID
	hasGID
	hasMtime
)

// over fills in from below what p does not say.
func (p posix) over(below posix) posix {
	if p.has&hasMode == 0 && below.has&hasMode != 0 {
		p.mode, p.has = below.mode, p.has|hasMode
	}
	if p.has&hasUID == 0 && below.has&hasUID != 0 {
		p.uid, p.has = below.uid, p.has|hasUID
	}
	if p.has&hasGID == 0 && below.has&hasGID != 0 {
		p.gid, p.has = below.gid, p.has|hasGID
	}
	if p.has&hasMtime == 0 && below.has&hasMtime != 0 {
		p.mtime, p.has = below.mtime, p.has|hasMtime
	}
	return p
}

// unprivileged is p without what makes a program run as somebody else. The kernel
// leaves that to us (capKillprivV2).
func (p posix) unprivileged() posix {
	if p.has&hasMode == 0 {
		return p
	}
	p.mode &^= syscall.S_ISUID
	if p.mode&syscall.S_IXGRP != 0 {
		p.mode &^= syscall.S_ISGID // otherwise it means mandatory locks
	}
	return p
}

// dropPrivileges is what a write by an ordinary user does to a setuid file.
func (fl *file) dropPrivileges() {
	base, n := fl.state().base, fl.node
	p := parsePosix(base.Metadata)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own != nil && n.own.posix.has&hasMode != 0 {
		p = n.own.posix
	}
	less := p.unprivileged()
	if less == p {
		return
	}
	o := n.ownOf(version{base.ETag, true})
	o.posix.mode, o.posix.has, o.dirty = less.mode, o.posix.has|hasMode, true
}

// parsePosix reads what the object's metadata says. What makes no sense is
// left out: metadata is anybody's text.
func parsePosix(meta map[string]string) posix {
	var p posix
	if t, ok := parseMtime(meta[metaMtime]); ok {
		p.mtime, p.has = t, p.has|hasMtime
	}
	if m, ok := parseMode(meta[metaMode]); ok {
		p.mode, p.has = m, p.has|hasMode
	}
	if id, err := strconv.ParseUint(meta[metaUID], 10, 32); err == nil {
		p.uid, p.has = uint32(id), p.has|hasUID
	}
	if id, err := strconv.ParseUint(meta[metaGID], 10, 32); err == nil {
		p.gid, p.has = uint32(id), p.has|hasGID
	}
	return p
}

// write puts what p knows into metadata, as s3fs writes it.
func (p posix) write(meta map[string]string, k kind) {
	if p.has&hasMtime != 0 {
		meta[metaMtime] = formatMtime(p.mtime)
	}
	if p.has&hasMode != 0 {
		meta[metaMode] = strconv.FormatUint(uint64(p.mode|modeType(k)), 10)
	}
	if p.has&hasUID != 0 {
		meta[metaUID] = strconv.FormatUint(uint64(p.uid), 10)
	}
	if p.has&hasGID != 0 {
		meta[metaGID] = strconv.FormatUint(uint64(p.gid), 10)
	}
}

func modeType(k kind) uint32 {
	switch k {
	case kindDir:
		return syscall.S_IFDIR
	case kindLink:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

func formatMtime(t time.Time) string {
	s := fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func parseMtime(s string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if len(frac) > 9 {
		frac = frac[:9]
	}
	frac += strings.Repeat("0", 9-len(frac))
	nsec, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)), true
}

// parseMode takes s3fs's decimal st_mode and rclone's octal one. They can be
// told apart: only one reading of the digits has a file type in it.
func parseMode(s string) (uint32, bool) {
	for _, base := range []int{10, 8} {
		m, err := strconv.ParseUint(s, base, 32)
		if err != nil {
			continue
		}
		switch m & syscall.S_IFMT {
		case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK:
			return uint32(m) & 0o7777, true
		}
	}
	return 0, false
}

// User xattrs are user metadata: user.NAME is x-amz-meta-NAME. Header names
// have no case and few bytes, so others than these are refused (EOPNOTSUPP).
// Values are query-escaped, since headers hold text only.
const (
	xattrUser = "user."
	// maxMetadata is what S3 leaves for all user metadata of an object.
	maxMetadata = 2048
)

func metaKey(xattr string) (string, bool) {
	name, ok := strings.CutPrefix(xattr, xattrUser)
	if !ok || name == "" {
		return "", false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", false
		}
	}
	return name, true
}

func escapeXattr(v []byte) string { return url.QueryEscape(string(v)) }

// unescapeXattr takes text that another program wrote as it stands.
func unescapeXattr(s string) []byte {
	if v, err := url.QueryUnescape(s); err == nil {
		return []byte(v)
	}
	return []byte(s)
}

// isPosixKey reports whether a metadata key is ours and not a user's xattr.
func isPosixKey(k string) bool {
	return k == metaMtime || k == metaMode || k == metaUID || k == metaGID
}

// newAttributes are those of an object that did not exist before.
func newAttributes(key string) s3.Attributes {
	return s3.Attributes{ContentType: contentType(key), Metadata: map[string]string{}}
}

// contentType goes by the key's extension, as every S3 tool does.
func contentType(key string) string {
	if strings.HasSuffix(key, "/") {
		return "application/x-directory"
	}
	if t := mime.TypeByExtension(path.Ext(key)); t != "" {
		return t
	}
	return "application/octet-stream"
}
