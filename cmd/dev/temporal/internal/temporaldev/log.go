package temporaldev

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

var _ log.WithLogger = serverLog{}

// serverLog passes the server's warnings and errors to a [slog.Logger].
type serverLog struct {
	to *slog.Logger
	// stopping silences it: the services log errors about each other while they stop one by one.
	stopping *atomic.Bool
}

// noHTTP begins the warning that there is no HTTP API, which is intended.
const noHTTP = "HTTP API port has not been set."

// fatal is an error after which the server cannot continue.
type fatal string

func (serverLog) Debug(string, ...tag.Tag) {}

func (serverLog) Info(string, ...tag.Tag) {}

func (l serverLog) Warn(msg string, tags ...tag.Tag) { l.log(slog.LevelWarn, msg, tags) }

func (l serverLog) Error(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// DPanic is the server's level for a broken invariant; it continues, except in its own development.
func (l serverLog) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

func (l serverLog) Panic(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	panic(msg)
}

func (l serverLog) Fatal(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	for _, t := range tags {
		msg += fmt.Sprintf(" %s=%v", t.Key(), t.Value())
	}
	panic(fatal(msg))
}

// With is for the tags that every record of a part of the server has.
func (l serverLog) With(tags ...tag.Tag) log.Logger {
	attrs := make([]any, len(tags))
	for i, a := range attributes(tags) {
		attrs[i] = a
	}
	return serverLog{to: l.to.With(attrs...), stopping: l.stopping}
}

func (l serverLog) log(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background() // the server passes none
	if l.to.Enabled(ctx, level) && !l.stopping.Load() && !strings.HasPrefix(msg, noHTTP) {
		l.to.LogAttrs(ctx, level, msg, attributes(tags)...) //nolint:sloglint // the message is the server's
	}
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}
