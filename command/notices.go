package command

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"
)

// notices is a log whose warnings are told to the user as notes, for commands
// that keep no log.
func notices(c *cli.Context) *slog.Logger {
	return slog.New(noticeHandler{c: c})
}

type noticeHandler struct {
	c     *cli.Context
	attrs []slog.Attr
}

func (h noticeHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h noticeHandler) WithGroup(string) slog.Handler                { return h }

func (h noticeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h noticeHandler) Handle(_ context.Context, r slog.Record) error {
	var facts []string
	add := func(a slog.Attr) bool {
		facts = append(facts, fmt.Sprintf("%s %v", a.Key, a.Value.Resolve()))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	text := r.Message
	if len(facts) > 0 {
		text += " (" + strings.Join(facts, ", ") + ")"
	}
	notef(h.c, "warning: %s", text)
	return nil
}
