package audit_test

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

func TestAnInvalidConfigNamesItsField(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*audit.Config){
		"Server":    func(c *audit.Config) { c.Server = "127.0.0.1:8080" },
		"Pool":      func(c *audit.Config) { c.Pool = nil },
		"Workflows": func(c *audit.Config) { c.Workflows = nil },
		"Streams":   func(c *audit.Config) { c.Streams = -1 },
		"Writers":   func(c *audit.Config) { c.Writers = -1 },
		"Answers":   func(c *audit.Config) { c.Answers = -1 },
		"Items":     func(c *audit.Config) { c.Items = 1 },
		"Rate":      func(c *audit.Config) { c.Rate = math.NaN() },
		"Silence":   func(c *audit.Config) { c.Silence = -1 },
		"Settle":    func(c *audit.Config) { c.Settle = -1 },
	} {
		cfg := audit.Config{Server: "http://127.0.0.1:8080", Pool: new(pgxpool.Pool), Workflows: []string{"wf_1"}}
		change(&cfg)
		_, err := audit.Start(t.Context(), cfg)
		require.ErrorContains(t, err, "Config."+field+" ", field)
	}
	for _, workflows := range [][]string{{""}, {"wf_1", "wf_2", "wf_1"}} {
		_, err := audit.Start(t.Context(), audit.Config{Server: "http://127.0.0.1:8080", Pool: new(pgxpool.Pool), Workflows: workflows})
		require.ErrorContains(t, err, "Config.Workflows ")
	}
}

func TestTheRateLimitsAllWritersTogether(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	start := time.Now()
	a := lab.start(t, audit.Config{Writers: 8, Items: 104, Rate: 100, Transports: audit.Transports()[:1]})
	written(t, a)
	require.GreaterOrEqual(t, time.Since(start), time.Second)
	require.Equal(t, 104, finish(t, a).Items)
}

func TestHundredsOfStreamsShareTheConnectionsOfATransport(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	var connections atomic.Int64
	lab.connected = func() { connections.Add(1) }
	lab.serve(t)
	const streams = 500 // of which the server allows 250 on a connection
	a := lab.start(t, audit.Config{
		Workflows: []string{"wf_1"}, Transports: []audit.Transport{transport(t, "gRPC over h2c")}, Streams: streams, Writers: 1, Items: 20,
	})
	require.Eventually(t, func() bool { return a.Progress().Streams == streams }, time.Minute, 5*time.Millisecond)
	written(t, a)
	report := finish(t, a)
	require.Empty(t, report.Findings)
	require.Equal(t, streams*20, report.Delivered)
	require.Zero(t, report.Reconnects)
	require.GreaterOrEqual(t, connections.Load(), int64(2))
	require.Less(t, connections.Load(), int64(10))
}

func transport(t *testing.T, name string) audit.Transport {
	t.Helper()
	for _, transport := range audit.Transports() {
		if transport.Name == name {
			return transport
		}
	}
	require.FailNow(t, "no transport "+name)
	return audit.Transport{}
}
