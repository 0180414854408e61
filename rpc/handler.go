// Package rpc serves a feed to clients: the Connect services of package chatfeed.v1 (over Connect, gRPC and gRPC-Web),
// server-sent events, the REST endpoint of the polling design, the read side of the Durable Streams protocol, health and
// reflection, all as one [http.Handler].
//
// A request passes the gate, which determines its [Viewer], and is parsed into one form for all protocols. Every stream is
// the same loop over a [feed.Subscription]; a transport only encodes batches. An item is encoded once per format for all
// receivers. Clients see their own mistakes in full and no internals of the server.
package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/rs/cors"

	"chatfeed/feed"
	"chatfeed/feed/directory"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Workflows lists workflows by time of activity.
type Workflows interface {
	// Workflows returns at most limit workflows that come after the given one, or from the newest if it is zero. The error
	// is [feed.ErrBusy] if the read cannot begin soon.
	Workflows(ctx context.Context, after feed.Workflow, limit int) ([]feed.Workflow, error)
}

// Chat sends requests to workflows. Its methods return when the workflow engine has accepted the request, or an [AwayError]
// if it is not available yet.
type Chat interface {
	Calls
	// Send sends a message to a workflow, and starts the workflow if it is not running. It generates the message's id if it
	// has none. The error is [ErrRefused] if a retry cannot succeed, [ErrFull] if a later retry may, and
	// [ErrWorkflowNotFound] if the id belongs to a workflow of another type.
	Send(ctx context.Context, workflowID string, message ChatMessage) (Sent, error)
	// Stop asks a workflow to stop the answer that it is giving. The errors are those of Send; no workflow is started.
	Stop(ctx context.Context, workflowID string) error
	// Approve tells a workflow whether it may make a call. The errors are those of Send; no workflow is started.
	Approve(ctx context.Context, workflowID string, approval Approval) error
	// Cancel asks a workflow to end. The error is [ErrWorkflowNotFound] if none is running.
	Cancel(ctx context.Context, workflowID string) error
}

// ChatMessage is a message to a workflow.
type ChatMessage struct{ ID, Text string }

// Approval says whether a call of a tool may be made.
type Approval struct {
	CallID   string
	Approved bool
	Reason   string // why not; may be empty
}

// Sent is the result of sending a message.
type Sent struct{ ID, RunID string }

// Config configures a handler. Feed and Workflows are required.
type Config struct {
	Feed      *feed.Feed
	Workflows Workflows
	// Directory is the live list of workflows, whose Run is the caller's. If it is nil, WatchWorkflows is refused.
	Directory *directory.Directory
	// Messages counts messages. If it is nil, CountMessages is refused.
	Messages Messages
	// Chat is nil if there is no workflow engine; ChatService is then not served, and a run of AG-UI only follows.
	Chat Chat
	// Allowed is what clients may call by name; the zero value allows nothing.
	Allowed Allowed
	// Recorder writes what RecordService is given. If it is nil, that is not served.
	Recorder Recorder
	// Gate determines who a request comes from and so what it may read and write. Without one everyone may do everything.
	// Health and readiness are not gated.
	Gate Gate
	// LegacyEndpoints serves /workflows/{id}/messages, /logs and /stats, as the polling design had them.
	LegacyEndpoints bool
	// Page serves "/" to browsers, and "/assets/". It is not gated, and so must hold no data. Without one, or to other clients, "/"
	// lists the endpoints.
	Page http.Handler
	// Ready returns why the server cannot serve now, or nil; clients see the text of an [AwayError]. A nil Ready means
	// always ready.
	Ready func(context.Context) error
	// About is what GetStatus says of the server.
	About About
	// Origins are the web origins whose pages may call, besides the server's own: "https://example.com", also with one
	// "*" for a part of it.
	Origins []string
	// Heartbeat is how often an idle stream sends an empty frame: 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long one write to a client may be stuck before the client is disconnected: 30 s.
	WriteTimeout time.Duration
	// ReadTimeout is how long a client may take to send the body of a request: 30 s.
	ReadTimeout time.Duration
	// Log receives errors that clients do not see; the default is slog.Default().
	Log *slog.Logger
}

// NewHandler returns the handler. The error names the invalid field of cfg.
func NewHandler(cfg Config) (http.Handler, error) {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 15*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 30*time.Second)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, 30*time.Second)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	switch {
	case cfg.Feed == nil:
		return nil, errors.New("rpc: Config.Feed is nil; it is required")
	case cfg.Workflows == nil:
		return nil, errors.New("rpc: Config.Workflows is nil; it is required")
	case cfg.Heartbeat < 0:
		return nil, fmt.Errorf("rpc: Config.Heartbeat is %v; it must be positive", cfg.Heartbeat)
	case cfg.WriteTimeout < 0:
		return nil, fmt.Errorf("rpc: Config.WriteTimeout is %v; it must be positive", cfg.WriteTimeout)
	case cfg.ReadTimeout < 0:
		return nil, fmt.Errorf("rpc: Config.ReadTimeout is %v; it must be positive", cfg.ReadTimeout)
	}
	mux := http.NewServeMux()
	errorWriter := connect.NewErrorWriter()
	for _, r := range cfg.routes() {
		if r.open {
			mux.Handle(r.pattern, r.handler)
		} else {
			mux.Handle(r.pattern, cfg.guard(r.handler, errorWriter))
		}
	}
	return limitReads(allowOrigins(limitWrites(refuseText(mux), cfg.WriteTimeout), cfg.Origins), cfg.ReadTimeout), nil
}

// refuseText tells clients of gRPC-Web's text mode, which grpc-web of Google generates unless told otherwise, what to use instead.
func refuseText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc-web-text") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/grpc-web-text")
		w.Header().Set("Grpc-Status", strconv.Itoa(int(connect.CodeUnimplemented)))
		w.Header().Set("Grpc-Message", "the text mode of gRPC-Web is not served; generate the client with mode=grpcweb, or use Connect")
	})
}

// route is a handler and its pattern.
type route struct {
	pattern string
	handler http.Handler
	open    bool // not gated
}

// routes is everything that the handler serves. Nothing else is mounted, so that nothing bypasses the gate.
func (c Config) routes() []route {
	encoder := newEncoder(c.Log)
	options := connect.WithHandlerOptions(
		codecs(encoder),
		connect.WithReadMaxBytes(4<<20),
		// Compressing each frame for each client would undo what sharing the encoded items saves.
		connect.WithCompressMinBytes(math.MaxInt32),
	)
	var all []route
	gated := func(pattern string, handler http.Handler) { all = append(all, route{pattern, handler, false}) }
	open := func(pattern string, handler http.Handler) { all = append(all, route{pattern, handler, true}) }

	service := &feedService{c, encoder}
	services := []string{chatfeedv1connect.FeedServiceName}
	pattern, handler := chatfeedv1connect.NewFeedServiceHandler(service, options)
	gated(pattern, noStore(handler))
	if c.Chat != nil {
		services = append(services, chatfeedv1connect.ChatServiceName)
		gated(chatfeedv1connect.NewChatServiceHandler(&chatService{c}, options))
	}
	if c.Recorder != nil {
		services = append(services, chatfeedv1connect.RecordServiceName)
		gated(newRecordHandler(c, options))
	}
	gated("GET /workflows/{id}/chatData", compressed(http.HandlerFunc(service.chatData)))
	if c.LegacyEndpoints {
		for name, itemType := range legacyEndpoints {
			gated("GET /workflows/{id}/"+name, compressed(service.legacy(name, itemType)))
		}
	}
	gated("GET /workflows/{id}/events", http.HandlerFunc(service.events))
	gated("GET /events", http.HandlerFunc(service.events))
	gated("GET /v1/stream/workflows/{id}", durableHandler(service))
	gated("GET /socket", http.HandlerFunc(service.socket))
	gated("POST /workflows/{id}/ag-ui", http.HandlerFunc(service.agUI))
	reflector := grpcreflect.NewStaticReflector(services...)
	gated(grpcreflect.NewHandlerV1(reflector))
	gated(grpcreflect.NewHandlerV1Alpha(reflector))
	if c.Page != nil {
		open("GET /{$}", forBrowsers(c.Page, http.HandlerFunc(index)))
		open("GET /assets/", c.Page)
	} else {
		gated("GET /{$}", http.HandlerFunc(index))
	}

	health := &health{c, services}
	open(grpchealth.NewHandler(health))
	open("GET /healthz", http.HandlerFunc(health.live))
	open("GET /readyz", http.HandlerFunc(health.ready))
	return all
}

// noStore keeps responses to GET out of caches; Connect's could be cached otherwise.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// forBrowsers gives the page to whoever asks for HTML by name, which browsers do and curl does not.
func forBrowsers(page, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprint(w, `chatfeed

Connect, gRPC, gRPC-Web   /chatfeed.v1.FeedService/Subscribe   GetChatData   ListWorkflows   WatchWorkflows
                          /chatfeed.v1.FeedService/CountMessages   GetStatus
                          /chatfeed.v1.ChatService/SendMessage   StopAnswer   AnswerApproval   CancelWorkflow
                          StartWorkflow   SignalWorkflow   UpdateWorkflow   QueryWorkflow   TerminateWorkflow
                          /chatfeed.v1.RecordService/Record
REST                      /workflows/{id}/chatData?afterTimestamp=0
Server-sent events        /workflows/{id}/events   /events?workflow=a&workflow=b
Durable Streams           /v1/stream/workflows/{id}?offset=-1
WebSocket                 /socket
AG-UI                     /workflows/{id}/ag-ui
Health                    /healthz   /readyz   grpc.health.v1.Health
`)
}

func allowOrigins(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: append(connectcors.AllowedMethods(), http.MethodHead),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization", "Last-Event-ID", "If-None-Match"),
		ExposedHeaders: append(connectcors.ExposedHeaders(), "Retry-After", ignoredHeader,
			nextOffsetHeader, upToDateHeader, streamClosedHeader, streamCursorHeader, "ETag"),
		MaxAge: 7200, // seconds; the most that browsers accept
	}).Handler(next)
}

// health serves liveness and readiness over HTTP and gRPC.
type health struct {
	Config
	services []string
}

func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, "ok")
}

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	if err := h.check(r.Context()); err != nil {
		h.Log.DebugContext(r.Context(), "not ready", "error", err)
		http.Error(w, "not ready: "+notReady(err), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (h *health) check(ctx context.Context) error {
	if h.Ready == nil {
		return nil
	}
	return h.Ready(ctx)
}

// Check implements [grpchealth.Checker].
func (h *health) Check(ctx context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	known := request.Service == ""
	for _, service := range h.services {
		known = known || request.Service == service
	}
	switch {
	case !known:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no service %q", request.Service))
	case h.check(ctx) != nil:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
