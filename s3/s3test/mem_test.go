package s3test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
)

func TestMemSharesContentOfCopies(t *testing.T) {
	m := NewMem(MemConfig{MinPartSize: 1})
	m.PutBytes("a", []byte("0123456789"))
	u, err := m.NewUpload(t.Context(), "b", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Part(t.Context(), 1, strings.NewReader("head-")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.CopyPart(t.Context(), 2, s3.Source{Key: "a"}, s3.Range{Offset: 3, Length: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.Bytes("b"); string(got) != "head-3456" {
		t.Errorf("got %q", got)
	}
	if &m.objects["b"][0].data[1][0] != &m.objects["a"][0].data[0][3] {
		t.Error("the copied part is not shared with its source")
	}
}

func TestMemCountsOpenBodies(t *testing.T) {
	m := NewMem(MemConfig{})
	m.PutBytes("a", []byte("x"))
	body, err := m.Get(t.Context(), "a", s3.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.OpenBodies(); got != 1 {
		t.Errorf("got %d open bodies, want 1", got)
	}
	body.Close()
	body.Close()
	if got := m.OpenBodies(); got != 0 {
		t.Errorf("got %d open bodies, want 0", got)
	}
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("reading a closed body: got %v", err)
	}
}

func TestSegmentsSlice(t *testing.T) {
	s := segments{[]byte("abc"), nil, []byte("defg"), []byte("h")}
	whole := "abcdefgh"
	for off := range len(whole) {
		for n := 1; n <= len(whole)-off; n++ {
			if got := string(s.slice(int64(off), int64(n)).bytes()); got != whole[off:off+n] {
				t.Errorf("slice(%d, %d): got %q", off, n, got)
			}
		}
	}
}

func TestChecksumIsThatOfNVMe(t *testing.T) {
	// The check value for "123456789" in the NVM Express specification is ae8b14860a799888.
	if got, want := (segments{[]byte("1234"), []byte("56789")}).crc64nvme(), "crc64nvme:rosUhgp5mIg="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFaultsHappenAsPlanned(t *testing.T) {
	read := func(b s3.Bucket) (string, error) {
		body, err := b.Get(t.Context(), "a", s3.GetOptions{})
		if err != nil {
			return "", err
		}
		defer body.Close()
		data, err := io.ReadAll(body)
		return string(data), err
	}
	put := func(b s3.Bucket) (string, error) {
		_, err := b.Put(t.Context(), "a", strings.NewReader("new"), s3.PutOptions{})
		return "", err
	}
	tests := []struct {
		name   string
		fault  Fault
		call   func(s3.Bucket) (string, error)
		got    string
		kind   error
		stored string
	}{
		{"fail", Fault{Do: Fail, Kind: s3.ErrDenied}, put, "", s3.ErrDenied, "old"},
		{"drop", Fault{Do: Drop}, put, "", s3.ErrUnavailable, "new"},
		{"cut put", Fault{Do: Cut, After: 1}, put, "", s3.ErrUnavailable, "old"},
		{"flip put", Fault{Do: Flip, After: 1}, put, "", nil, "ndw"},
		{"truncate put", Fault{Do: Truncate, After: 1}, put, "", nil, "n"},
		{"cut get", Fault{Do: Cut, After: 2}, read, "ol", s3.ErrUnavailable, "old"},
		{"truncate get", Fault{Do: Truncate, After: 2}, read, "ol", nil, "old"},
		{"flip get", Fault{Do: Flip, After: 2}, read, "ole", nil, "old"},
		{"drop get", Fault{Do: Drop}, read, "", s3.ErrUnavailable, "old"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := NewMem(MemConfig{})
			m.PutBytes("a", []byte("old"))
			got, err := test.call(NewFaulty(m, Plan{Rules: []Rule{{Fault: test.fault}}}))
			if got != test.got || !errors.Is(err, test.kind) {
				t.Errorf("got %q, %v; want %q, %v", got, err, test.got, test.kind)
			}
			if stored, _ := m.Bytes("a"); string(stored) != test.stored {
				t.Errorf("stored %q, want %q", stored, test.stored)
			}
			if n := m.OpenBodies(); n != 0 {
				t.Errorf("%d bodies left open", n)
			}
		})
	}
}

func TestRulesChooseCalls(t *testing.T) {
	heads := func(rule Rule) string {
		m := NewMem(MemConfig{})
		m.PutBytes("k", nil)
		rule.Fault = Fault{Do: Fail}
		f := NewFaulty(m, Plan{Seed: 7, Rules: []Rule{rule}})
		var out strings.Builder
		for range 6 {
			if _, err := f.Head(t.Context(), "k"); err != nil {
				out.WriteByte('x')
			} else {
				out.WriteByte('.')
			}
		}
		return out.String()
	}
	tests := []struct {
		rule Rule
		want string
	}{
		{Rule{}, "xxxxxx"},
		{Rule{Op: s3.OpPut}, "......"},
		{Rule{Op: s3.OpHead, Key: "k"}, "xxxxxx"},
		{Rule{Key: "other"}, "......"},
		{Rule{Below: "k/"}, "......"},
		{Rule{Nth: 3}, "..x..."},
		{Rule{Times: 2}, "xx...."},
		{Rule{Nth: 3, Times: 2}, "..xx.."},
	}
	for _, test := range tests {
		if got := heads(test.rule); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.rule, got, test.want)
		}
	}
	if a, b := heads(Rule{P: 0.5}), heads(Rule{P: 0.5}); a != b || !strings.Contains(a, "x") || !strings.Contains(a, ".") {
		t.Errorf("draws from one seed: %s and %s", a, b)
	}
}

func TestCrashStopsEverythingAfterIt(t *testing.T) {
	want := map[Moment][]string{
		BeforeCall: {"1"},
		AfterCall:  {"1", "2"},
		InBody:     {"1"},
	}
	for when, keys := range want {
		m := NewMem(MemConfig{})
		f := NewFaulty(m, Plan{Crash: Crash{At: 2, When: when}})
		var failures int
		for _, key := range []string{"1", "2", "3"} {
			if _, err := f.Put(t.Context(), key, strings.NewReader("data"), s3.PutOptions{}); err != nil {
				failures++
			}
		}
		if diff := cmp.Diff(keys, m.Keys()); diff != "" || failures != 2 || !f.Crashed() {
			t.Errorf("moment %d: %d failures, keys (-want +got):\n%s", when, failures, diff)
		}
	}
	m := NewMem(MemConfig{})
	m.PutBytes("a", nil)
	f := NewFaulty(m, Plan{Crash: Crash{At: 1, When: InBody}})
	if err := f.Delete(t.Context(), s3.Target{Key: "a"}); err == nil || len(m.Keys()) != 1 {
		t.Errorf("a call without a body went through a crash: %v", err)
	}
}

func TestFaultyCountsRequests(t *testing.T) {
	f := NewFaulty(NewMem(MemConfig{}), Plan{})
	var targets []s3.Target
	for range 2500 {
		targets = append(targets, s3.Target{Key: "gone"})
	}
	if err := f.Delete(t.Context(), targets...); err != nil {
		t.Fatal(err)
	}
	f.Head(t.Context(), "gone")
	if diff := cmp.Diff(map[string]int{s3.OpDelete: 3, s3.OpHead: 1}, f.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if log := f.Log(); log[3] != (Call{N: 4, Op: s3.OpHead, Key: "gone"}) {
		t.Errorf("the log ends with %+v", log[3])
	}
}

func TestLostPartIsUnknownUntilResumed(t *testing.T) {
	f := NewFaulty(NewMem(MemConfig{}), Plan{Rules: []Rule{{Op: s3.OpPart, Nth: 1, Fault: Fault{Do: Drop}}}})
	u, err := f.NewUpload(t.Context(), "a", s3.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Part(t.Context(), 1, strings.NewReader("x")); !errors.Is(err, s3.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if got := u.Parts(); len(got) != 0 {
		t.Errorf("the client knows %v", got)
	}
	u, err = f.ResumeUpload(t.Context(), "a", u.ID(), s3.PutOptions{})
	if err != nil || len(u.Parts()) != 1 {
		t.Errorf("resumed: %v, %v", u, err)
	}
}
