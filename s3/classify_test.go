package s3_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func TestErrorsHaveTheirKind(t *testing.T) {
	tests := []struct {
		status int
		code   string
		kind   error
	}{
		{404, "NoSuchKey", s3.ErrNotFound},
		{404, "NoSuchBucket", s3.ErrNoBucket},
		{403, "AccessDenied", s3.ErrDenied},
		{403, "AllAccessDisabled", s3.ErrDenied},
		{403, "InvalidAccessKeyId", s3.ErrCredentials},
		{403, "SignatureDoesNotMatch", s3.ErrCredentials},
		{400, "ExpiredToken", s3.ErrCredentials},
		{400, "TokenRefreshRequired", s3.ErrCredentials},
		{400, "InvalidToken", s3.ErrCredentials},
		{412, "PreconditionFailed", s3.ErrChanged},
		{409, "ConditionalRequestConflict", s3.ErrUnavailable},
		{409, "OperationAborted", s3.ErrUnavailable},
		{503, "SlowDown", s3.ErrThrottled},
		{503, "ServiceUnavailable", s3.ErrThrottled},
		{429, "TooManyRequests", s3.ErrThrottled},
		{500, "InternalError", s3.ErrUnavailable},
		{400, "RequestTimeout", s3.ErrUnavailable},
		{403, "RequestTimeTooSkewed", s3.ErrUnavailable},
		{403, "InvalidObjectState", s3.ErrArchived},
		{403, "QuotaExceeded", s3.ErrQuota},
		{507, "XMinioStorageFull", s3.ErrQuota},
		{400, "EntityTooLarge", s3.ErrTooLarge},
		{400, "EntityTooSmall", s3.ErrInvalid},
		{400, "KeyTooLongError", s3.ErrInvalid},
		{400, "MetadataTooLarge", s3.ErrInvalid},
		{400, "BadDigest", s3.ErrCorrupt},
		{400, "XAmzContentSHA256Mismatch", s3.ErrCorrupt},
		{416, "InvalidRange", s3.ErrRange},
		{501, "NotImplemented", s3.ErrUnsupported},
		{405, "MethodNotAllowed", s3.ErrUnsupported},
		{304, "", s3.ErrNotModified},
		{301, "PermanentRedirect", s3.ErrRegion},

		// What no table holds goes by its status.
		{400, "SomethingNew", s3.ErrInvalid},
		{403, "SomethingNew", s3.ErrDenied},
		{404, "SomethingNew", s3.ErrNotFound},
		{409, "SomethingNew", s3.ErrUnavailable},
		{413, "SomethingNew", s3.ErrTooLarge},
		{429, "SomethingNew", s3.ErrThrottled},
		{500, "SomethingNew", s3.ErrUnavailable},
		{502, "", s3.ErrUnavailable},
		{503, "", s3.ErrThrottled},
		{504, "", s3.ErrUnavailable},
		{507, "", s3.ErrQuota},
		{401, "", s3.ErrCredentials},
		{408, "", s3.ErrUnavailable},
	}
	for _, test := range tests {
		c, _ := wired(t, s3test.NewMem(s3test.MemConfig{}), s3test.WireRule{Fault: s3test.WireFault{
			Do: s3test.WireStatus, Status: test.status, Code: test.code, Header: http.Header{"X-Amz-Request-Id": {"R123"}},
		}})
		_, err := c.Get(t.Context(), "a", s3.GetOptions{})
		var e *s3.Error
		if !errors.As(err, &e) || !errors.Is(err, test.kind) {
			t.Errorf("%d %s: got %v, want %v", test.status, test.code, err, test.kind)
			continue
		}
		if e.Op != s3.OpGet || e.Key != "a" || e.Status != test.status || e.RequestID != "R123" || test.code != "" && e.Code != test.code {
			t.Errorf("%d %s: %+v", test.status, test.code, e)
		}
	}
}

func TestErrorsReadWell(t *testing.T) {
	c, _ := wired(t, s3test.NewMem(s3test.MemConfig{}), s3test.WireRule{Fault: s3test.WireFault{
		Do: s3test.WireStatus, Status: 403, Code: "AccessDenied", Header: http.Header{"X-Amz-Request-Id": {"R123"}},
	}})
	_, err := c.Put(t.Context(), "dir/a", strings.NewReader("x"), s3.PutOptions{})
	want := `PutObject "dir/a": access denied (AccessDenied, HTTP 403, request R123): the test says so`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	c, _ = wired(t, s3test.NewMem(s3test.MemConfig{}), s3test.WireRule{Fault: s3test.WireFault{Do: s3test.WireReset}})
	_, err = c.Put(t.Context(), "dir/a", strings.NewReader("x"), s3.PutOptions{})
	want = `PutObject "dir/a": server unavailable: connection reset by the test`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999": 24 * time.Hour,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour,
		"Thu, 01 Dec 1994 16:00:00 GMT":                         0,
	} {
		c, _ := wired(t, s3test.NewMem(s3test.MemConfig{}), s3test.WireRule{Fault: s3test.WireFault{
			Do: s3test.WireStatus, Status: 503, Code: "SlowDown", Header: http.Header{"Retry-After": {text}},
		}})
		slack := time.Duration(0)
		if want == time.Hour { // from now on
			slack = 5 * time.Minute
		}
		_, err := c.Head(t.Context(), "a")
		var e *s3.Error
		if !errors.As(err, &e) || (e.RetryAfter-want).Abs() > slack {
			t.Errorf("%q: %v, want %v", text, e.RetryAfter, want)
		}
	}
}

func TestKeysThatCannotBeDeletedAreNamed(t *testing.T) {
	m := s3test.NewMem(s3test.MemConfig{})
	for _, key := range []string{"a", "b", "c"} {
		m.PutBytes(key, nil)
	}
	c, _ := wired(t, m, s3test.WireRule{Match: isMethod("POST"), Fault: s3test.WireFault{Do: s3test.WireStatus, Body: `<DeleteResult>
		<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>
		<Error><Key>c</Key><Code>SlowDown</Code><Message>later</Message></Error></DeleteResult>`}})
	err := c.Delete(t.Context(), s3.Target{Key: "a"}, s3.Target{Key: "b"}, s3.Target{Key: "c"})
	var failed *s3.DeleteError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 ||
		!errors.Is(failed.Failed["b"], s3.ErrDenied) || !errors.Is(failed.Failed["c"], s3.ErrThrottled) {
		t.Errorf("got %#v", err)
	}
}
