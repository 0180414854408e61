package program

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/feed/directory"
	"chatfeed/migrations"
	"chatfeed/rpc"
	"chatfeed/web/page"
)

// Serve is the command that serves the feed. It starts even if the database is unavailable, and is ready when the database is.
type Serve struct {
	Database
	ListenDatabaseURL string        `help:"How to connect for LISTEN if --database-url is a pooler in transaction mode." placeholder:"URL"`
	Listen            string        `help:"Address to serve on." default:"127.0.0.1:8080"`
	TLSCert           string        `help:"Certificate file, to serve over TLS." placeholder:"FILE" type:"existingfile"`
	TLSKey            string        `help:"Key file of the certificate." placeholder:"FILE" type:"existingfile"`
	AllowOrigin       []string      `help:"Web origin whose pages may call, such as https://example.com; may be repeated." placeholder:"ORIGIN"`
	Migrate           bool          `help:"Migrate the schema at the start. Any number of servers may do so concurrently."`
	Heartbeat         time.Duration `help:"How often an idle stream sends an empty frame." default:"15s"`
	Sweep             time.Duration `help:"How often to look for items whose notification was lost." default:"5s"`
	NoChat            bool          `help:"Do not offer ChatService; Temporal is then needed for --watch-temporal only."`
	NoRecord          bool          `help:"Do not offer RecordService, which writes items for activities in other languages."`
	LegacyEndpoints   bool          `help:"Serve /workflows/ID/messages, /logs and /stats too, as the polling design had them."`
	WatchTemporal     bool          `help:"Record how followed workflows stand that do not record it themselves, or have ended without a chance to."`
	WatchQuery        string        `help:"Query that they answer with their progress: a number, or {progress, status}." placeholder:"NAME"`
	Temporal
	ChatWorkflow       string `help:"Type of the workflow that SendMessage starts." default:"Chat"`
	ChatTaskQueue      string `help:"Task queue of that workflow." default:"chatfeed-demo"`
	ChatSignal         string `help:"Signal that delivers a message to it, as {id, text}." default:"message"`
	ChatStopSignal     string `help:"Signal that stops the answer that it is giving." default:"stop"`
	ChatApprovalSignal string `help:"Signal that answers a request for approval, as {callId, approved, reason}." default:"approval"`
	Allow
	TemporalUI string `help:"Address of Temporal's UI, such as http://localhost:8233, for links to the workflows' runs." placeholder:"URL"`

	// Started is called with the server's address as soon as it accepts connections. It may be nil.
	Started func(net.Addr) `kong:"-"`
	// ShownDatabaseURL is the database's address as everyone may see it. Empty shows none.
	ShownDatabaseURL string `kong:"-"`
	// ChatAway returns why Temporal is not available yet, or an empty string when it is. It may be nil.
	ChatAway func() string `kong:"-"`
}

// drainTimeout is how long open requests may take to end once the server is stopping. Connections that are still open are
// closed.
const drainTimeout = 10 * time.Second

// Run serves until ctx ends, then lets open requests finish.
func (c *Serve) Run(ctx context.Context, log *slog.Logger) error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return usagef("--tls-cert and --tls-key: one is given without the other; both or none are accepted")
	}
	pool, beside, err := c.openForServing(ctx, log)
	if err != nil {
		return err
	}
	defer pool.Close()
	defer beside.Close()
	source, err := db.NewSource(pool, db.SourceConfig{Listen: c.ListenDatabaseURL})
	if err != nil {
		return usagef("--listen-database-url: %v", err)
	}
	workflows, err := directory.New(db.NewLister(beside), directory.Config{Sweep: c.Sweep, Log: log})
	if err != nil {
		return err
	}
	items, err := feed.New(source, workflows.Waker(source), feed.Config{Sweep: c.Sweep, Log: log})
	if err != nil {
		return err
	}
	about, err := c.about(log)
	if err != nil {
		return err
	}
	chat, closeChat, err := c.chat(log)
	if err != nil {
		return err
	}
	defer closeChat()
	writer := db.NewWriter(beside)
	defer writer.Close()
	watch, closeWatch, err := c.watch(beside, writer, items, log)
	if err != nil {
		return err
	}
	defer closeWatch()
	handler, err := rpc.NewHandler(rpc.Config{ //nolint:contextcheck // logging about an item is not tied to a request
		Feed:      items,
		Workflows: db.NewLister(beside),
		Directory: workflows,
		Messages:  db.NewLister(beside),
		Chat:      chat,
		Allowed:   c.names(),
		Recorder:  c.recorder(writer),
		About:     about,
		Page:      page.Handler(),

		LegacyEndpoints: c.LegacyEndpoints,

		Origins:   c.AllowOrigin,
		Heartbeat: c.Heartbeat,
		Log:       log,
		Ready:     (&readiness{pool: beside}).check,
	})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}

	feeding, stopFeeding := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = items.Run(feeding) })
	running.Go(func() { _ = workflows.Run(feeding) })
	running.Go(func() { watch(feeding) })
	if c.Migrate {
		running.Go(func() { migrateUntilDone(feeding, beside, log) })
	}
	ctx, cancel := context.WithCancelCause(ctx)
	running.Go(func() {
		if err := awaitDatabase(feeding, beside, log, db.CheckReader); err != nil {
			cancel(err)
			return
		}
		watchQueue(feeding, beside, log)
	})
	defer func() {
		stopFeeding()
		running.Wait()
		stats := items.Stats()
		log.InfoContext(ctx, "stopped", "wakes", stats.Wakes, "topic_reads", stats.TopicReads, "page_reads", stats.PageReads,
			"sweeps", stats.Sweeps, "lost", stats.Lost)
	}()
	log.InfoContext(ctx, "serving", "address", listener.Addr().String())
	if c.Started != nil {
		c.Started(listener.Addr())
	}
	err = c.serve(ctx, listener, handler, func() { items.Drain(); workflows.Drain() }, log)
	if cause := context.Cause(ctx); errors.Is(cause, db.ErrUnfit) {
		return cause
	}
	return err
}

// serve accepts requests until ctx ends; then it drains, so that streams end, waits for open requests, and closes connections
// that do not end. A stuck client is not an error of the server.
func (c *Serve) serve(ctx context.Context, listener net.Listener, handler http.Handler, drain func(), log *slog.Logger) error {
	server := newServer(handler, stuckTimeout)
	ended := make(chan error, 1)
	go func() {
		if c.TLSCert != "" {
			ended <- server.ServeTLS(listener, c.TLSCert, c.TLSKey)
		} else {
			ended <- server.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain()
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if server.Shutdown(draining) != nil {
		log.WarnContext(ctx, "clients did not disconnect in time; their connections are closed", "after", drainTimeout)
		_ = server.Close()
	}
	return nil
}

func (c *Serve) chat(log *slog.Logger) (rpc.Chat, func(), error) {
	if c.NoChat {
		return nil, func() {}, nil
	}
	queues, err := c.queues(c.ChatTaskQueue)
	if err != nil {
		return nil, nil, err
	}
	options, err := c.ClientOptions(log)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.lazyClient(log)
	if err != nil {
		return nil, nil, err
	}
	var chat rpc.Chat = &temporalChat{
		client: client, namespace: options.Namespace, workflow: c.ChatWorkflow, taskQueue: c.ChatTaskQueue,
		signal: c.ChatSignal, stop: c.ChatStopSignal, approval: c.ChatApprovalSignal,
		queues: queues, reached: c.AllowWorkflow,
	}
	if c.ChatAway != nil {
		chat = unavailableChat{chat, c.ChatAway}
	}
	return chat, client.Close, nil
}

// recorder returns what RecordService writes with, or nil.
func (c *Serve) recorder(writer *db.Writer) rpc.Recorder {
	if c.NoRecord {
		return nil
	}
	return recorder{writer}
}

func migrateUntilDone(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) {
	for {
		err := migrateUp(ctx, pool)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.WarnContext(ctx, "migrating failed; retrying", "error", err)
		pause(ctx, time.Second)
	}
}

func migrateUp(ctx context.Context, pool *pgxpool.Pool) (err error) {
	database := sql.OpenDB(stdlib.GetPoolConnector(pool))
	defer func() { err = errors.Join(err, database.Close()) }()
	return migrations.Up(ctx, database)
}
