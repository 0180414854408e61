package program

import (
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"

	"chatfeed/rpc"
)

// about is what GetStatus says of the server.
func (c *Serve) about(log *slog.Logger) (rpc.About, error) {
	about := rpc.About{Version: version(), ChatAway: c.ChatAway, DatabaseURL: c.ShownDatabaseURL}
	if c.TemporalUI == "" {
		return about, nil
	}
	ui, err := url.Parse(c.TemporalUI)
	if err != nil || ui.Scheme != "http" && ui.Scheme != "https" || ui.Host == "" { // a page makes a link of it
		return rpc.About{}, usagef("--temporal-ui: %q is not an address of a web page; one like http://localhost:8233 is accepted", c.TemporalUI)
	}
	options, err := c.ClientOptions(log)
	if err != nil {
		return rpc.About{}, err
	}
	base := url.URL{Scheme: ui.Scheme, Host: ui.Host, Path: ui.Path, RawPath: ui.RawPath} // without what must not be public
	about.TemporalUI = base.JoinPath("namespaces", url.PathEscape(options.Namespace), "workflows").String() + "/"
	return about, nil
}

// version is what the program was built from: a version of the module, or else a commit.
func version() string {
	built, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := built.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range built.Settings {
		if setting.Key == "vcs.revision" {
			return strings.TrimSpace(setting.Value[:min(12, len(setting.Value))])
		}
	}
	return "development"
}
