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

// serverLog hands what the server logs as a warning or worse to a [slog.Logger].
type serverLog struct {
	to *slog.Logger
	// stopping silences it: the services complain about each other while they go down one by one.
	stopping *atomic.Bool
}

// noHTTP begins the warning that there is no HTTP API, which is meant.
const noHTTP = "HTTP API port has not been set."

// fatal is what the server could not go on after.
type fatal string

func (serverLog) Debug(string, ...tag.Tag) {}

func (serverLog) Info(string, ...tag.Tag) {}

func (l serverLog) Warn(msg string, tags ...tag.Tag) { l.log(slog.LevelWarn, msg, tags) }

func (l serverLog) Error(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// DPanic is the server's word for a broken invariant; outside of its own development it goes on.
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
	ctx := context.Background() // the server hands none on
	if l.to.Enabled(ctx, level) && !l.stopping.Load() && !strings.HasPrefix(msg, noHTTP) {
		l.to.LogAttrs(ctx, level, msg, attributes(tags)...) //nolint:sloglint // the words are the server's
	}
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}
