package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var labels = []label{
	{},
	{scope: "https://s3.example.gov bucket", blockSize: 1 << 20, id: BlockID{Key: "a/b c/\xff", ETag: `"0123"`, Index: 7}},
	{blockSize: 1, id: BlockID{Key: strings.Repeat("k", maxNameLength), Index: 1 << 62}},
}

func fileOf(t testing.TB, l label, data []byte) []byte {
	t.Helper()
	h, ok := l.header(data)
	if !ok {
		t.Fatalf("no header for %v", l)
	}
	return append(h, data...)
}

func TestBlockFilesSayWhatTheyAre(t *testing.T) {
	for _, l := range labels {
		for _, data := range []string{"", "0", strings.Repeat("data", 1000)} {
			got, rest, err := parseFile(fileOf(t, l, []byte(data)))
			if err != nil || string(rest) != data {
				t.Errorf("parseFile: %v, %d bytes of data, want %d", err, len(rest), len(data))
			}
			if diff := cmp.Diff(l, got, cmp.AllowUnexported(label{})); diff != "" {
				t.Errorf("parseFile (-want +got):\n%s", diff)
			}
		}
	}
}

// The format is a promise to the next version of the program: a file written by
// this one is read or refused, never misread.
func TestBlockFileFormatStaysTheSame(t *testing.T) {
	l := label{scope: "s", blockSize: 4096, id: BlockID{Key: "key", ETag: `"e"`, Index: 2}}
	want := "cgs3fs\x00\x01" + "\x00\x00\x00\x00\x00\x00\x10\x00" + "\x00\x00\x00\x00\x00\x00\x00\x02" +
		"\x00\x00\x00\x00\x00\x00\x00\x04" + "\x00\x01\x00\x03\x00\x03" + `skey"e"` +
		"\xae\xd8\x7d\xd1" + "\x4c\x94\xee\xb4" + "data"
	if got := fileOf(t, l, []byte("data")); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := l.fileID().String(), "5ea75fe430e92292-68c513b838413b08e15dcb678223ead6"; got != want {
		t.Errorf("the file's name is %s, want %s", got, want)
	}
}

func TestNamesTooLongForAFileAreRefused(t *testing.T) {
	l := label{id: BlockID{Key: strings.Repeat("k", maxNameLength+1)}}
	if _, ok := l.header(nil); ok {
		t.Error("a key of 65,536 bytes has a header")
	}
}

func TestFileNamesTellBlocksApart(t *testing.T) {
	seen := map[fileID]label{}
	for _, l := range []label{
		{},
		{scope: "a"},
		{id: BlockID{Key: "a"}},
		{id: BlockID{ETag: "a"}},
		{scope: "a", id: BlockID{Key: "b"}},
		{scope: "ab"},
		{id: BlockID{Key: "ab"}},
		{id: BlockID{Key: "a", ETag: "b"}},
		{blockSize: 1},
		{id: BlockID{Index: 1}},
	} {
		f := l.fileID()
		if other, ok := seen[f]; ok {
			t.Errorf("%+v and %+v share a file", l, other)
		}
		seen[f] = l
		if got, ok := parseFileName(f.String()+fileSuffix, fileSuffix); !ok || got != f {
			t.Errorf("parseFileName(%s) = %v, %v", f, got, ok)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, l := range labels[:2] {
		file := fileOf(f, l, []byte("data"))
		f.Add(file)
		f.Add(file[:len(file)-1])
		f.Add(file[:minHeader])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		checkParse(t, file)
		checkParse(t, reseal(file))
	})
}

// reseal puts checksums right where a file says that they are, so that the
// fuzzer gets past them.
func reseal(file []byte) []byte {
	if len(file) < minHeader {
		return file
	}
	file = bytes.Clone(file)
	names := fixedHeader
	for at := 32; at < fixedHeader; at += 2 {
		names += int(binary.BigEndian.Uint16(file[at:]))
	}
	if len(file) >= names+headerSums {
		binary.BigEndian.PutUint32(file[names:], checksum(file[names+headerSums:]))
		binary.BigEndian.PutUint32(file[names+4:], checksum(file[:names+4]))
	}
	return file
}

// checkParse wants a file refused, or to be exactly what we would write.
func checkParse(t *testing.T, file []byte) {
	t.Helper()
	l, data, err := parseFile(file)
	if err != nil {
		if !errors.Is(err, errDamaged) {
			t.Errorf("error = %v, want errDamaged", err)
		}
		return
	}
	if again := fileOf(t, l, data); !bytes.Equal(again, file) {
		t.Errorf("a file that is not of our making was read: %q, ours would be %q", file, again)
	}
}

func FuzzParseFileName(f *testing.F) {
	f.Add(labels[1].fileID().String() + fileSuffix)
	f.Add("x" + fileSuffix)
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := parseFileName(name, fileSuffix); ok && id.String()+fileSuffix != name {
			t.Errorf("%q was read as %s", name, id)
		}
	})
}
