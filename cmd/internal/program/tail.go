package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Tail is the command that follows workflows.
type Tail struct {
	Client
	Workflows []string  `arg:"" name:"workflow" help:"Ids of the workflows to follow."`
	After     time.Time `help:"Begin after this time, such as 2026-01-31T12:00:00Z." placeholder:"TIME" xor:"start"`
	Last      *int32    `help:"Begin this many items before the newest." placeholder:"N" xor:"start"`
	Types     []string  `help:"Only these types: message, log, stat, progress, delta, tool. As text, the default is all of them; as JSON, the first four." placeholder:"TYPE"`
	JSON      bool      `help:"Print each item as a line of JSON." name:"json"`
	NoFollow  bool      `help:"End when all existing items have been printed."`

	// Out is where the items go; nil is standard output.
	Out io.Writer `kong:"-"`

	cutOff   bool // the server has said that it cannot reach the database
	reported bool // something was printed, or it was logged why not
}

// silence is how long a stream may be without a frame; servers send heartbeats far more often.
const silence = 45 * time.Second

// Run prints items until ctx ends. When the stream breaks it subscribes again after the last item of each workflow.
func (c *Tail) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Out == nil {
		c.Out = os.Stdout
	}
	show := newPrinter(c.Out, len(c.Workflows) > 1).print
	if c.JSON {
		show = printJSON(c.Out)
	} else if c.Types == nil {
		for _, kind := range db.Kinds() {
			c.Types = append(c.Types, kind.Name())
		}
	}
	request := c.request()
	client := chatfeedv1connect.NewFeedServiceClient(c.http(), c.Server)
	lost := false
	for tries := 0; ; {
		err := c.follow(ctx, client, request, func(frame *v1.SubscribeResponse) error {
			if lost {
				log.InfoContext(ctx, "following again", "server", c.Server)
			}
			lost, tries = false, 0
			c.logFrame(ctx, log, frame)
			return c.take(request, frame, show)
		})
		switch {
		case ctx.Err() != nil || errors.Is(err, errDone):
			return nil
		case !retryable(err):
			return c.explain(err)
		case !lost:
			lost = true
			log.WarnContext(ctx, "stream lost; retrying", "server", c.Server, "error", c.explain(err))
		}
		pause(ctx, min(100*time.Millisecond<<min(tries, 10), 2*time.Second))
		tries++
	}
}

func (c *Tail) request() *v1.SubscribeRequest {
	request := &v1.SubscribeRequest{Types: c.Types}
	for _, id := range c.Workflows {
		cursor := &v1.Cursor{WorkflowId: id}
		switch {
		case c.Last != nil:
			cursor.Start = &v1.Cursor_Last{Last: *c.Last}
		case !c.After.IsZero():
			cursor.Start = &v1.Cursor_After{After: timestamppb.New(c.After)}
		}
		request.Cursors = append(request.Cursors, cursor)
	}
	return request
}

var (
	errDone   = errors.New("up to date")
	errSilent = errors.New("nothing was received, not even a heartbeat")
)

// follow reads one stream to its end.
func (c *Tail) follow(
	ctx context.Context, client chatfeedv1connect.FeedServiceClient, request *v1.SubscribeRequest,
	take func(*v1.SubscribeResponse) error,
) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	stream, err := client.Subscribe(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		watchdog.Reset(silence)
		if err := take(stream.Msg()); err != nil {
			return err
		}
	}
	return stream.Err()
}

// logFrame logs what a frame says besides its items.
func (c *Tail) logFrame(ctx context.Context, log *slog.Logger, frame *v1.SubscribeResponse) {
	for _, gone := range frame.GetGone() {
		log.InfoContext(ctx, "an item was erased", "workflow", gone.GetWorkflowId(), "type", gone.GetType(), "id", gone.GetId())
	}
	for _, workflow := range frame.GetAnew() {
		log.InfoContext(ctx, "the workflow's history was erased; the new one follows", "workflow", workflow)
	}
	hasNews := len(frame.GetItems())+len(frame.GetGone())+len(frame.GetAnew()) > 0
	if frame.GetUpToDate() && !hasNews && !c.reported {
		log.InfoContext(ctx, "there is nothing to print yet", "workflows", c.Workflows, "waiting", !c.NoFollow)
	}
	c.reported = c.reported || hasNews || frame.GetUpToDate()
	switch {
	case frame.GetUpToDate():
		c.cutOff = false
	case !hasNews && !c.cutOff:
		c.cutOff = true
		log.WarnContext(ctx, "the server cannot say whether there is more: it cannot reach the database", "server", c.Server)
	}
}

// take prints a frame and moves the request's cursors behind it.
func (c *Tail) take(request *v1.SubscribeRequest, frame *v1.SubscribeResponse, show func(*v1.Item) error) error {
	for _, workflow := range frame.GetAnew() {
		for _, cursor := range request.GetCursors() {
			if cursor.GetWorkflowId() == workflow {
				cursor.Start = nil
			}
		}
	}
	for _, item := range frame.GetItems() {
		if err := show(item); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		for _, cursor := range request.GetCursors() {
			if cursor.GetWorkflowId() == item.GetWorkflowId() {
				cursor.Start = &v1.Cursor_After{After: item.GetCreatedAt()}
			}
		}
	}
	if c.NoFollow && frame.GetUpToDate() || frame.GetFinal() {
		return errDone
	}
	return nil
}

// retryable reports whether a stream ended because of the server or the network, and not because of the request.
func retryable(err error) bool {
	if err == nil {
		return true
	}
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return false
	}
	switch failed.Code() {
	case connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodeUnauthenticated, connect.CodePermissionDenied,
		connect.CodeNotFound:
		return false
	}
	return true
}
