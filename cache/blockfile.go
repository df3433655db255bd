package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
)

// A block's file is, numbers in big-endian order:
//
//	8  magic: "cgs3fs", a zero, and the version of the format
//	8  block size
//	8  index
//	8  length of the data
//	2  length of the scope     2  of the key     2  of the ETag
//	   scope, key, ETag
//	4  CRC-32C of the data
//	4  CRC-32C of everything before it
//	   data, to the end of the file
const (
	fileMagic = "cgs3fs\x00\x01"

	fixedHeader   = 8 + 8 + 8 + 8 + 3*2
	headerSums    = 4 + 4
	minHeader     = fixedHeader + headerSums
	maxNameLength = 1<<16 - 1 // of scope, key and ETag: what two bytes can say

	fileSuffix = ".block"
	tempSuffix = ".block.new" // while it is being written
)

// errDamaged is a file that is not what its name and header say.
var errDamaged = errors.New("block file is damaged")

// label is what a file says about itself.
type label struct {
	scope     string
	blockSize int64
	id        BlockID
}

// header returns the bytes that come before data in its file. It reports false
// if the names are too long for one.
func (l label) header(data []byte) ([]byte, bool) {
	names := [...]string{l.scope, l.id.Key, l.id.ETag}
	h := make([]byte, 0, minHeader+len(l.scope)+len(l.id.Key)+len(l.id.ETag))
	h = append(h, fileMagic...)
	h = binary.BigEndian.AppendUint64(h, uint64(l.blockSize))
	h = binary.BigEndian.AppendUint64(h, uint64(l.id.Index))
	h = binary.BigEndian.AppendUint64(h, uint64(len(data)))
	for _, n := range names {
		if len(n) > maxNameLength {
			return nil, false
		}
		h = binary.BigEndian.AppendUint16(h, uint16(len(n)))
	}
	for _, n := range names {
		h = append(h, n...)
	}
	h = binary.BigEndian.AppendUint32(h, checksum(data))
	return binary.BigEndian.AppendUint32(h, checksum(h)), true
}

// checksum is CRC-32C, for which processors have an instruction. Taking the
// table is a function call that makes it once.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// parseFile takes a file apart; data is a piece of it. Any damage at all is
// errDamaged.
func parseFile(file []byte) (l label, data []byte, err error) {
	if len(file) < minHeader || string(file[:8]) != fileMagic {
		return label{}, nil, errDamaged
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(file[at:])) }
	length := func(at int) int { return int(binary.BigEndian.Uint16(file[at:])) }
	scope, key, etag := length(32), length(34), length(36)
	names := fixedHeader + scope + key + etag
	if len(file) < names+headerSums {
		return label{}, nil, errDamaged
	}
	sums := file[names:]
	data = file[names+headerSums:]
	if checksum(file[:names+4]) != binary.BigEndian.Uint32(sums[4:]) ||
		number(24) != int64(len(data)) || checksum(data) != binary.BigEndian.Uint32(sums) {
		return label{}, nil, errDamaged
	}
	rest := bytes.NewBuffer(file[fixedHeader:names])
	l = label{scope: string(rest.Next(scope)), blockSize: number(8)}
	l.id = BlockID{Key: string(rest.Next(key)), ETag: string(rest.Next(etag)), Index: number(16)}
	return l, data, nil
}

// fileID is a file's name as a value: hashes of the key and of the whole label.
// Two labels with one fileID only cost each other their places.
type fileID struct {
	key   keyHash
	label [16]byte
}

type keyHash [8]byte

func hashKey(scope, key string) (h keyHash) {
	copy(h[:], hashOf(scope, key))
	return h
}

func (l label) fileID() fileID {
	f := fileID{key: hashKey(l.scope, l.id.Key)}
	numbers := binary.BigEndian.AppendUint64(nil, uint64(l.blockSize))
	numbers = binary.BigEndian.AppendUint64(numbers, uint64(l.id.Index))
	copy(f.label[:], hashOf(l.scope, l.id.Key, l.id.ETag, string(numbers)))
	return f
}

// hashOf hashes strings, each after its length so that they can't run together.
func hashOf(parts ...string) []byte {
	var all []byte
	for _, p := range parts {
		all = binary.BigEndian.AppendUint64(all, uint64(len(p)))
		all = append(all, p...)
	}
	sum := sha256.Sum256(all)
	return sum[:]
}

// String is the file's name without its suffix.
func (f fileID) String() string {
	return hex.EncodeToString(f.key[:]) + "-" + hex.EncodeToString(f.label[:])
}

// parseFileName returns the fileID that a file with the given suffix is named
// by; ok is false for a name that is not of our making.
func parseFileName(name, suffix string) (f fileID, ok bool) {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) != 2*len(f.key)+1+2*len(f.label) {
		return fileID{}, false
	}
	key, lab := stem[:2*len(f.key)], stem[2*len(f.key)+1:]
	_, err1 := hex.Decode(f.key[:], []byte(key))
	_, err2 := hex.Decode(f.label[:], []byte(lab))
	return f, err1 == nil && err2 == nil && f.String() == stem
}
