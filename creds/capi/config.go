package capi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// configVersion is what cf 6, 7 and 8 write; they ignore a file of another
// version.
const configVersion = 4

// cfConfig is what this package reads of the cf command line's config.json.
type cfConfig struct {
	ConfigVersion         int
	Target                string // URL of the Cloud Controller
	UaaEndpoint           string
	AuthorizationEndpoint string // of the login server; a UAA too
	AccessToken           string // "bearer eyJ…"
	RefreshToken          string
	UAAGrantType          string // empty is password
	UAAOAuthClient        string
	UAAOAuthClientSecret  string
	SSLDisabled           bool
	OrganizationFields    struct{ GUID, Name string }
	SpaceFields           struct{ GUID, Name string }
}

// configPath is where cf keeps its config: CF_HOME takes the place of the home
// directory, it is not the directory .cf itself.
func configPath(getenv func(string) string, home string) string {
	if dir := getenv("CF_HOME"); dir != "" {
		home = dir
	}
	if home == "" {
		home = getenv("HOME")
	}
	return filepath.Join(home, ".cf", "config.json")
}

// readConfig reads the login. Without one the error is ErrLoggedOut.
func readConfig(path string) (cfConfig, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cfConfig{}, loggedOut("not logged in to Cloud Foundry: there is no " + path)
	case err != nil:
		return cfConfig{}, &Error{Kind: ErrDenied, Text: "reading the login of cf", Advice: "check the file's owner and mode", Err: err}
	}
	var c cfConfig
	if err := json.Unmarshal(text, &c); err != nil {
		// The cause could quote the file, which holds the tokens.
		return cfConfig{}, &Error{Kind: ErrInvalid, Text: path + " is not JSON", Advice: loginAdvice}
	}
	switch {
	case c.ConfigVersion != configVersion && c.ConfigVersion != 0:
		return cfConfig{}, loggedOut(fmt.Sprintf("%s has version %d, which today's cf ignores", path, c.ConfigVersion))
	case c.Target == "":
		return cfConfig{}, loggedOut("cf has no API endpoint")
	case c.AccessToken == "" && c.RefreshToken == "":
		return cfConfig{}, loggedOut("not logged in to Cloud Foundry")
	}
	return c, nil
}

// tokenWriter is a config file about to get new tokens. It is made before the
// tokens are asked for, so that they are never lost for want of a place.
type tokenWriter struct {
	path string
	temp *os.File
}

func newTokenWriter(path string) (*tokenWriter, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	// cf removes files called temp-config* as it starts, so not that name.
	temp, err := os.CreateTemp(filepath.Dir(path), ".cgs3fs-config-*") // mode 0600
	if err != nil {
		return nil, &Error{
			Kind: ErrDenied, Text: "the session must be renewed, but the new tokens can't be saved",
			Advice: "make the directory of cf's config writable, or run cf oauth-token", Err: err,
		}
	}
	return &tokenWriter{path: path, temp: temp}, nil
}

// write replaces the tokens in the file as it is now and keeps everything else.
func (w *tokenWriter) write(access, refresh string) error {
	text, err := os.ReadFile(w.path)
	if err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil || all == nil {
		return errors.New("the file is no longer JSON")
	}
	set := func(name, value string) error {
		raw, err := json.Marshal(value)
		all[name] = raw
		return err
	}
	if err := errors.Join(set("AccessToken", access), set("RefreshToken", refresh)); err != nil {
		return err
	}
	out, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if _, err := w.temp.Write(out); err != nil {
		return err
	}
	if err := errors.Join(w.temp.Sync(), w.temp.Close()); err != nil {
		return err
	}
	return os.Rename(w.temp.Name(), w.path)
}

// close removes what write has not moved into place.
func (w *tokenWriter) close() {
	w.temp.Close()
	os.Remove(w.temp.Name())
}

// bareToken is a token without the word "bearer" before it.
func bareToken(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 7 && strings.EqualFold(s[:7], "bearer ") {
		s = s[7:]
	}
	return strings.TrimSpace(s)
}
