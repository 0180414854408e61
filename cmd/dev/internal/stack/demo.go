package stack

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// The conversation that begins by itself.
const (
	quiet    = 10 * time.Second // for how long nobody may have sent anything
	demoID   = "demo"           // of the workflow and of its message
	demoText = `Every row that an activity commits to PostgreSQL reaches this page within milliseconds. The rows are the only copy: the ` +
		`feed keeps none of its own. A page that loses its connection comes back with the timestamp of the last row that it has, ` +
		`and misses nothing. Reload this page while the answer is being written, and the answer goes on where it was. ` +
		`Send a message of your own to any workflow, and the workflow answers it the same way.`
)

// startDemo sends the message with which the demo conversation begins, if nobody has sent any by then.
func startDemo(ctx context.Context, at Running, log *slog.Logger) {
	pool, err := pgxpool.New(ctx, at.DatabaseURL)
	if err == nil {
		defer pool.Close()
		err = unlessUsed(ctx, pool, quiet, func() error {
			chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, at.Server)
			_, err := chat.SendMessage(ctx, &v1.SendMessageRequest{WorkflowId: demoID, Id: demoID, Text: demoText})
			return err
		})
	}
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "the demo conversation does not begin", "error", err)
	}
}

// unlessUsed calls begin after a pause, if no user has sent a message by then.
func unlessUsed(ctx context.Context, pool *pgxpool.Pool, after time.Duration, begin func() error) error {
	pause := time.NewTimer(after)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return nil
	}
	var used bool
	if err := pool.QueryRow(ctx, `select exists (select from chatfeed.messages where role = 'user')`).Scan(&used); err != nil || used {
		return err
	}
	return begin()
}
