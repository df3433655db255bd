package capi

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// claims are what this package reads of an access token, which is a JWT (RFC
// 7519). The signature is the server's business.
type claims struct {
	Expires  int64  `json:"exp"` // seconds of Unix time
	UserName string `json:"user_name"`
	ClientID string `json:"client_id"`
}

// readToken reads the claims; a token that is no JWT has none.
func readToken(token string) (c claims) {
	parts := strings.Split(bareToken(token), ".")
	if len(parts) != 3 {
		return claims{}
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(text, &c) != nil {
		return claims{}
	}
	return c
}

// expiry returns when a token ends; zero if it doesn't say.
func expiry(token string) time.Time {
	if c := readToken(token); c.Expires > 0 {
		return time.Unix(c.Expires, 0)
	}
	return time.Time{}
}

// margin is how long a token must still be valid to be used; cf keeps the same.
const margin = time.Minute

func usable(token string, now time.Time) bool {
	return token != "" && expiry(token).After(now.Add(margin))
}
