package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"chatfeed/feed"
)

type noSource struct{ busySource }

var errCalled = errors.New("a workflow was called")

func (*noSource) Start(context.Context, string, Call) (string, error) { return "", errCalled }

func (*noSource) Signal(context.Context, string, Call) (string, error) { return "", errCalled }

func (*noSource) Update(context.Context, string, Call) (json.RawMessage, error) {
	return nil, errCalled
}

func (*noSource) Query(context.Context, string, Call) (json.RawMessage, error) {
	return nil, errCalled
}

func (*noSource) Terminate(context.Context, string, string) error { return errCalled }

func (*noSource) Workflows(context.Context, feed.Workflow, int) ([]feed.Workflow, error) {
	return nil, errors.New("the workflows were read")
}

func (*noSource) Send(context.Context, string, ChatMessage) (Sent, error) {
	return Sent{}, errors.New("a message was sent")
}

func (*noSource) Stop(context.Context, string) error { return errors.New("an answer was stopped") }

func (*noSource) Approve(context.Context, string, Approval) error {
	return errors.New("a call was approved")
}

func (*noSource) Record(context.Context, string, []NewItem) ([]Recorded, error) {
	return nil, errors.New("an item was recorded")
}

func (*noSource) Cancel(context.Context, string) error {
	return errors.New("a workflow was cancelled")
}

// outside is all that may be reached without the gate: none of it says anything about a workflow.
var outside = []string{"/grpc.health.v1.Health/", "GET /healthz", "GET /readyz", "GET /{$}", "GET /assets/"}

func gatedConfig(t *testing.T, gate Gate) Config {
	t.Helper()
	source := &noSource{}
	f, err := feed.New(source, source, feed.Config{})
	require.NoError(t, err)
	return Config{
		Feed: f, Workflows: source, Chat: source, Recorder: source, Page: http.NotFoundHandler(), LegacyEndpoints: true, Gate: gate,
		Log: slog.New(slog.DiscardHandler),
	}
}

// procedures returns the path of each method of this package's services, whether it is served or not.
func procedures() []string {
	var paths []string
	protoregistry.GlobalFiles.RangeFilesByPackage("chatfeed.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				paths = append(paths, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return paths
}

// address makes a method and a path that a pattern takes.
func address(pattern string) (method, path string) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodPost, pattern
	}
	path = strings.NewReplacer("{id}", "wf", "{$}", "").Replace(path)
	if method == http.MethodPost && strings.HasSuffix(path, "/") {
		path += "Any"
	}
	return method, path
}

func TestNothingBypassesTheGate(t *testing.T) {
	t.Parallel()
	asked := 0
	cfg := gatedConfig(t, func(*http.Request) (Viewer, error) {
		asked++
		return nil, ErrUnauthenticated
	})
	handler, err := NewHandler(cfg)
	require.NoError(t, err)
	refused := func(method, path string, headers ...string) {
		t.Helper()
		before := asked
		request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("{}"))
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(t, before+1, asked, "%s %s was answered with %d without the gate", method, path, recorder.Code)
		code := connect.CodeUnauthenticated.String()
		switch recorder.Code {
		case http.StatusUnauthorized:
			require.Equal(t, "Bearer", recorder.Header().Get("WWW-Authenticate"))
			require.Contains(t, recorder.Body.String(), code)
		case http.StatusOK: // of protocols that say it at the end
			require.Contains(t, recorder.Body.String()+recorder.Header().Get("Grpc-Status"), map[bool]string{
				true: "16", false: code,
			}[strings.HasPrefix(request.Header.Get("Content-Type"), "application/grpc")])
		default:
			require.Fail(t, "not refused", "%s %s: %d %s", method, path, recorder.Code, recorder.Body)
		}
	}
	var open []string
	for _, r := range cfg.routes() {
		if r.open {
			open = append(open, r.pattern)
			continue
		}
		method, path := address(r.pattern)
		refused(method, path)
	}
	require.ElementsMatch(t, outside, open)
	require.Len(t, procedures(), 16)
	for _, path := range procedures() {
		for _, kind := range []string{
			"application/json", "application/proto", "application/connect+json", "application/grpc", "application/grpc+json",
			"application/grpc-web", "text/html",
		} {
			refused(http.MethodPost, path, "Content-Type", kind)
		}
		refused(http.MethodGet, path+"?encoding=json&connect=v1&message=%7B%7D")
		refused(http.MethodGet, path+"?encoding=json&message=%7B%7D")
	}
}

// Whatever is mounted without the gate has a viewer who may do nothing.
func TestAHandlerMountedWithoutTheGateServesNothing(t *testing.T) {
	t.Parallel()
	cfg := gatedConfig(t, func(*http.Request) (Viewer, error) { return everyone{}, nil })
	ctx := t.Context()
	require.False(t, cfg.viewer(ctx).CanRead("wf"))
	require.False(t, cfg.viewer(ctx).CanWrite("wf"))
	require.False(t, cfg.viewer(ctx).CanRecord("wf"))
	require.True(t, Config{}.viewer(ctx).CanRead("wf"))
	require.True(t, cfg.viewer(context.WithValue(ctx, viewerKey{}, Viewer(everyone{}))).CanWrite("wf"))
}

// The procedures that are walked are those that are served: no service is missing in the registry.
func TestEveryServedServiceIsTested(t *testing.T) {
	t.Parallel()
	for _, r := range gatedConfig(t, nil).routes() {
		if strings.HasPrefix(r.pattern, "/chatfeed.") {
			require.True(t, slices.ContainsFunc(procedures(), func(p string) bool { return strings.HasPrefix(p, r.pattern) }), r.pattern)
		}
	}
}

// The page is for browsers; who asks for anything else is told the endpoints, with a page and without one.
func TestThePageIsGivenToBrowsersOnly(t *testing.T) {
	t.Parallel()
	cfg := gatedConfig(t, nil)
	cfg.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the page")) })
	handler, err := NewHandler(cfg)
	require.NoError(t, err)
	for accepted, page := range map[string]bool{
		"": false, "*/*": false, "application/json": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.Header.Set("Accept", accepted)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(t, page, recorder.Body.String() == "the page", accepted)
		require.Equal(t, !page, strings.Contains(recorder.Body.String(), "/workflows/{id}/events"), accepted)
		require.Contains(t, recorder.Header().Values("Vary"), "Accept")
	}
}
