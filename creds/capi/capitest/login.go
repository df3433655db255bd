package capitest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Login writes what "cf login" leaves in a home directory: a session of the
// user, pointed at a space, which may be "". It returns the file's path.
func (f *Foundation) Login(tb testing.TB, home, user, spaceGUID string) string {
	tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	access, refresh := f.newTokens(user)
	type fields struct{ GUID, Name string }
	var inOrg, inSpace fields
	if s := f.spaceOf(spaceGUID); s != nil {
		inOrg, inSpace = fields{s.org.guid, s.org.name}, fields{s.guid, s.name}
	}
	return writeConfig(tb, home, map[string]any{
		"ConfigVersion": 4, "Target": f.URL, "APIVersion": "3.200.0",
		"AuthorizationEndpoint": f.URL, "UaaEndpoint": f.URL,
		"AccessToken": "bearer " + access, "RefreshToken": refresh,
		"UAAGrantType": "", "UAAOAuthClient": "cf", "UAAOAuthClientSecret": "", "SSLDisabled": false,
		"OrganizationFields": inOrg, "SpaceFields": inSpace,
		"PluginRepos":  []map[string]string{{"Name": "CF-Community", "URL": "https://plugins.cloudfoundry.org"}},
		"AsyncTimeout": 0, "Trace": "",
	})
}

// LoginClient is Login for "cf auth ID SECRET --client-credentials", of which
// cf keeps no secret.
func (f *Foundation) LoginClient(tb testing.TB, home, id, spaceGUID string) string {
	tb.Helper()
	path := f.Login(tb, home, id, spaceGUID)
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		tb.Fatal(err)
	}
	all["UAAGrantType"], all["UAAOAuthClient"], all["RefreshToken"] = "client_credentials", id, ""
	return writeConfig(tb, home, all)
}

func writeConfig(tb testing.TB, home string, all map[string]any) string {
	tb.Helper()
	path := filepath.Join(home, ".cf", "config.json")
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
