package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"
)

// newTransport returns an HTTP transport made for large bodies over many
// connections to one host.
func newTransport(cfg Config) (*http.Transport, error) {
	trust := &tls.Config{InsecureSkipVerify: cfg.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if len(cfg.CABundle) > 0 {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(cfg.CABundle) {
			return nil, errors.New("the CA bundle holds no certificate")
		}
	}
	dialer := &net.Dialer{Timeout: cfg.Timeouts.Dial, KeepAlive: 15 * time.Second}
	http1 := new(http.Protocols)
	http1.SetHTTP1(true) // one connection for each request is what makes S3 fast
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: 2 * cfg.Timeouts.Dial,
		Protocols:           http1,
		DisableCompression:  true, // objects are delivered as they are
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,

		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,

		// Reads as large as the buffer bypass it and go straight into the
		// caller's memory.
		ReadBufferSize:  64 << 10,
		WriteBufferSize: 256 << 10,
	}, nil
}
