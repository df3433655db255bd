package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// kinds maps S3's error codes to kinds; the "List of error codes" of its API
// reference, and those of other servers. What is missing goes by HTTP status.
var kinds = map[string]error{
	"NoSuchKey":     ErrNotFound,
	"NoSuchVersion": ErrNotFound,
	"NotFound":      ErrNotFound,
	"NoSuchBucket":  ErrNoBucket,
	"NoSuchUpload":  ErrNoUpload,

	"AccessDenied":            ErrDenied,
	"AllAccessDisabled":       ErrDenied,
	"AccountProblem":          ErrDenied,
	"NotSignedUp":             ErrDenied,
	"UnauthorizedAccess":      ErrDenied,
	"KMS.AccessDenied":        ErrDenied,
	"ObjectLockedByRetention": ErrDenied,

	"InvalidAccessKeyId":             ErrCredentials,
	"XAdminUserNotFound":             ErrCredentials, // versitygw
	"SignatureDoesNotMatch":          ErrCredentials,
	"ExpiredToken":                   ErrCredentials,
	"ExpiredTokenException":          ErrCredentials,
	"InvalidToken":                   ErrCredentials,
	"InvalidClientTokenId":           ErrCredentials,
	"TokenRefreshRequired":           ErrCredentials,
	"InvalidSecurity":                ErrCredentials,
	"AuthFailure":                    ErrCredentials,
	"UnrecognizedClientException":    ErrCredentials,
	"MissingSecurityHeader":          ErrCredentials,
	"CredentialsNotSupported":        ErrCredentials,
	"XAmzContentSHA256Mismatch":      ErrCorrupt,
	"PreconditionFailed":             ErrChanged, // refined by conditional
	"NotModified":                    ErrNotModified,
	"ConditionalRequestConflict":     ErrUnavailable, // two conditional writes at once: try again
	"OperationAborted":               ErrUnavailable,
	"InvalidRange":                   ErrRange,
	"EntityTooLarge":                 ErrTooLarge,
	"MaxMessageLengthExceeded":       ErrTooLarge,
	"QuotaExceeded":                  ErrQuota,
	"XMinioStorageFull":              ErrQuota,
	"XMinioAdminBucketQuotaExceeded": ErrQuota,
	"InsufficientStorage":            ErrQuota,
	"ServiceQuotaExceededException":  ErrQuota,
	"InvalidObjectState":             ErrArchived,
	"ObjectNotInActiveTierError":     ErrArchived,

	"BadDigest":                          ErrCorrupt,
	"IncompleteBody":                     ErrCorrupt,
	"ContentSHA256Mismatch":              ErrCorrupt,
	"NotImplemented":                     ErrUnsupported,
	"MethodNotAllowed":                   ErrUnsupported,
	"XNotImplemented":                    ErrUnsupported,
	"InvalidDigest":                      ErrInvalid,
	"KeyTooLongError":                    ErrInvalid,
	"MetadataTooLarge":                   ErrInvalid,
	"EntityTooSmall":                     ErrInvalid,
	"InvalidPart":                        ErrInvalid,
	"InvalidPartOrder":                   ErrInvalid,
	"InvalidArgument":                    ErrInvalid,
	"InvalidRequest":                     ErrInvalid,
	"MalformedXML":                       ErrInvalid,
	"InvalidTag":                         ErrInvalid,
	"InvalidStorageClass":                ErrInvalid,
	"InvalidBucketName":                  ErrInvalid,
	"SlowDown":                           ErrThrottled,
	"TooManyRequests":                    ErrThrottled,
	"RequestLimitExceeded":               ErrThrottled,
	"Throttling":                         ErrThrottled,
	"ThrottlingException":                ErrThrottled,
	"BandwidthLimitExceeded":             ErrThrottled,
	"ServiceUnavailable":                 ErrThrottled, // S3 says so when it wants fewer requests
	"InternalError":                      ErrUnavailable,
	"RequestTimeout":                     ErrUnavailable, // our body came too slowly; not the caller's fault
	"RequestTimeTooSkewed":               ErrUnavailable, // the SDK has now learnt the server's clock
	"RequestExpired":                     ErrUnavailable,
	"PermanentRedirect":                  ErrRegion,
	"TemporaryRedirect":                  ErrRegion,
	"Redirect":                           ErrRegion,
	"AuthorizationHeaderMalformed":       ErrRegion,
	"IllegalLocationConstraintException": ErrRegion,
}

// statuses maps HTTP statuses to kinds, where there is no code that says more:
// answers to HEAD have no body, proxies have bodies of their own.
var statuses = map[int]error{
	http.StatusMovedPermanently:             ErrRegion,
	http.StatusNotModified:                  ErrNotModified,
	http.StatusTemporaryRedirect:            ErrRegion,
	http.StatusPermanentRedirect:            ErrRegion,
	http.StatusUnauthorized:                 ErrCredentials,
	http.StatusForbidden:                    ErrDenied,
	http.StatusNotFound:                     ErrNotFound,
	http.StatusMethodNotAllowed:             ErrUnsupported,
	http.StatusProxyAuthRequired:            ErrDenied,
	http.StatusRequestTimeout:               ErrUnavailable,
	http.StatusConflict:                     ErrUnavailable,
	http.StatusPreconditionFailed:           ErrChanged,
	http.StatusRequestEntityTooLarge:        ErrTooLarge,
	http.StatusRequestedRangeNotSatisfiable: ErrRange,
	http.StatusTooManyRequests:              ErrThrottled,
	http.StatusNotImplemented:               ErrUnsupported,
	http.StatusServiceUnavailable:           ErrThrottled,
	http.StatusInsufficientStorage:          ErrQuota,
}

// classify turns an error of the SDK into an *Error. It is the only place that
// knows the SDK's errors.
func classify(ctx context.Context, op, key string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Op: op, Key: key, Err: err}
	if ctx.Err() != nil {
		e.Kind, e.Err = ErrCanceled, context.Cause(ctx)
		return e
	}
	if resp, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		e.RequestID = resp.ServiceRequestID()
		if resp.Response != nil {
			e.Status = resp.HTTPStatusCode()
			e.header = resp.Response.Header
			e.RetryAfter = retryAfter(e.header, time.Now())
		}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if e.Code = api.ErrorCode(); e.Code == "UnknownError" { // the SDK's word for none
			e.Code = ""
		}
		e.Err = nil
		if text := api.ErrorMessage(); text != "" {
			e.Err = errors.New(text)
		}
	}
	e.Kind = kindOf(e, err)
	if e.Code == "" {
		e.Err = root(err)
	}
	return e
}

// kindOf decides by the code, then the status, then what happened on the way.
func kindOf(e *Error, err error) error {
	if e.Code == "" && e.Status >= 300 && isA[*transportError](err) {
		return ErrUnavailable // the answer broke off before it said which of many reasons it is
	}
	if kind, ok := kinds[e.Code]; ok {
		return kind
	}
	if kind, ok := statuses[e.Status]; ok {
		return kind
	}
	switch {
	case e.Status >= 500:
		return ErrUnavailable
	case e.Status >= 400:
		return ErrInvalid
	case isA[*credentialsError](err):
		return ErrCredentials
	case isUntrusted(err):
		return ErrUntrusted
	case isA[*transportError](err):
		return ErrUnavailable
	case isA[*smithy.SerializationError](err), isA[*smithy.InvalidParamsError](err):
		return ErrInvalid
	}
	return ErrUnavailable // such as an answer that could not be understood
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isUntrusted finds failures of TLS that trying again cannot change.
func isUntrusted(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[x509.UnknownAuthorityError](err) ||
		isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err) ||
		isA[tls.RecordHeaderError](err) || isA[tls.AlertError](err)
}

// root strips what the SDK wraps around a cause, which says nothing to a user.
func root(err error) error {
	if t, ok := errors.AsType[*transportError](err); ok {
		return t.err
	}
	if c, ok := errors.AsType[*credentialsError](err); ok {
		return c
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return op.Err
	}
	return err
}

// retryAfter reads the Retry-After header, which is a number of seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return max(0, time.Duration(min(seconds, 24*60*60))*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
