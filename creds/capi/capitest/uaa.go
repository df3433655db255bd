package capitest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// newTokens makes an access token, which is a JWT, and a refresh token. It must
// be called with f.mu held.
func (f *Foundation) newTokens(user string) (access, refresh string) {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	access = part(map[string]string{"alg": "RS256"}) + "." + part(map[string]any{
		"exp": f.now().Add(f.TokenLife).Unix(), "user_name": user, "client_id": "cf", "jti": f.guid("token"),
	}) + ".c2VjcmV0LXNpZ25hdHVyZQ"
	refresh = f.guid("secret-refresh")
	f.tokens[access] = user
	f.refresh[refresh] = user
	return access, refresh
}

// ExpireTokens ends every session's access token; refresh tokens stay.
func (f *Foundation) ExpireTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
}

// EndSessions ends every refresh token too, so that only a new login helps.
func (f *Foundation) EndSessions() {
	f.ExpireTokens()
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.refresh)
}

func (f *Foundation) oauthToken(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, secret, ok := r.BasicAuth()
	if want, known := f.clients[id]; !ok || !known || want != secret {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "unauthorized", "error_description": "Bad credentials"})
		return
	}
	out := map[string]any{"token_type": "bearer", "expires_in": int(f.TokenLife.Seconds())}
	switch r.FormValue("grant_type") {
	case "refresh_token":
		old := r.FormValue("refresh_token")
		user, known := f.refresh[old]
		if !known {
			answer(w, http.StatusUnauthorized, map[string]string{
				"error": "invalid_token", "error_description": "The token expired, was revoked, or the token ID is incorrect: " + old,
			})
			return
		}
		access, refresh := f.newTokens(user)
		if f.RotateRefresh {
			delete(f.refresh, old)
		} else {
			delete(f.refresh, refresh)
			refresh = old
		}
		out["access_token"], out["refresh_token"] = access, refresh
	case "client_credentials":
		access, refresh := f.newTokens(id)
		delete(f.refresh, refresh)
		out["access_token"] = access
	default:
		answer(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client went away
}
