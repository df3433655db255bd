package s3

import (
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMetadataSurvivesTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "value")
		sent := encodeValue(value)
		for i := range len(sent) {
			if c := sent[i]; c < ' ' || c >= 0x7f {
				t.Fatalf("%q is sent as %q, which no header can hold", value, sent)
			}
		}
		if sent != strings.TrimSpace(sent) {
			t.Fatalf("%q is sent as %q, whose spaces get lost", value, sent)
		}
		if got := decodeValue(sent); got != value {
			t.Fatalf("%q is sent as %q and comes back as %q", value, sent, got)
		}
	})
}

func TestMetadataOfOtherPrograms(t *testing.T) {
	for sent, want := range map[string]string{
		"=?UTF-8?Q?gr=C3=BCn?=":                 "grün", // as S3 answers to raw bytes
		"=?UTF-8?B?Z3LDvG4=?= =?UTF-8?B?ZXI=?=": "grüner",
		"=?iso-8859-1?Q?gr=FCn?=":               "grün",
		"=?unknown-charset?Q?x?=":               "=?unknown-charset?Q?x?=",
		"=?UTF-8?B?not base64?=":                "=?UTF-8?B?not base64?=",
		"plain":                                 "plain",
		"a =? b":                                "a =? b",
		"\xc3\xbc sent raw":                     "ü sent raw",
		"1700000000.123":                        "1700000000.123",
	} {
		if got := decodeValue(sent); got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

func TestMetadataThatCannotTravelIsRefused(t *testing.T) {
	for _, key := range []string{"", "a b", "ü", "a:b", "a\nb", "a(b)"} {
		if _, err := encodeMetadata(map[string]string{key: "v"}); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
	for _, value := range []string{"a\nb", "a\x00", "caf\xe9", "\x7f"} {
		if checkHeaders(Attributes{ContentType: value}) == nil {
			t.Errorf("content type %q was accepted", value)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add("k", "=?UTF-8?Q?gr=C3=BCn?=")
	f.Add("K-2", " \x00\xff=?")
	f.Fuzz(func(t *testing.T, key, value string) {
		decodeValue(value) // of any server
		sent, err := encodeMetadata(map[string]string{key: value})
		if err != nil {
			return
		}
		h := http.Header{}
		for k, v := range sent {
			h.Set("x-amz-meta-"+k, v)
		}
		got := decodeMetadata(sent)
		if len(got) != 1 || got[strings.ToLower(key)] != value {
			t.Fatalf("%q: %q came back as %q", key, value, got)
		}
	})
}
