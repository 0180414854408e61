package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// pageWindow is a server's window for pages that a client waits for, aheadWindow for pages that are read ahead.
func pageWindow() feed.Window  { return feed.Window{Items: 256, Bytes: 256 << 10} }
func aheadWindow() feed.Window { return feed.Window{Items: 1024, Bytes: 256 << 10} }

// firstPage returns how long a new client waits for the first items of a workflow's history.
func firstPage(ctx context.Context, server, workflowID string) (time.Duration, error) {
	var took time.Duration
	start := time.Now()
	err := readHistory(ctx, server, workflowID, func(response *v1.SubscribeResponse) (done bool) {
		took = time.Since(start)
		return len(response.GetItems()) > 0
	})
	if err != nil {
		return 0, fmt.Errorf("read the first page of %s: %w", workflowID, err)
	}
	return took, nil
}

// wholeHistory returns how long a client needs to receive all of a workflow's items, whose number must be as given.
func wholeHistory(ctx context.Context, server, workflowID string, items int) (time.Duration, error) {
	check := orderCheck{}
	start := time.Now()
	err := readHistory(ctx, server, workflowID, func(response *v1.SubscribeResponse) (done bool) {
		for _, item := range response.GetItems() {
			check.take(item.GetCreatedAt().GetSeconds()*1e6 + int64(item.GetCreatedAt().GetNanos()/1e3))
		}
		return response.GetUpToDate()
	})
	took := time.Since(start)
	if err := errors.Join(err, check.result(items)); err != nil {
		return 0, fmt.Errorf("read the history of %s: %w", workflowID, err)
	}
	return took, nil
}

// readHistory subscribes to a workflow from its beginning, over a connection of its own, until take is done.
func readHistory(ctx context.Context, server, workflowID string, take func(*v1.SubscribeResponse) (done bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := chatfeedv1connect.NewFeedServiceClient(&http.Client{Transport: transport}, server)
	stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflowID}}})
	if err != nil {
		return err
	}
	for stream.Receive() {
		if take(stream.Msg()) {
			cancel() // the stream does not end by itself
			_ = stream.Close()
			return nil
		}
	}
	return errors.Join(stream.Err(), stream.Close(), errors.New("the stream has ended"))
}

// wholeREST is [wholeHistory] over REST, in one request. The client does not decode the text.
func wholeREST(ctx context.Context, server, workflowID string, items int) (time.Duration, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/workflows/"+workflowID+"/chatData?afterTimestamp=0", nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the history of %s over REST: %w", workflowID, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := restAnswer{}
	if _, err := io.Copy(&answer, response.Body); err != nil {
		return 0, fmt.Errorf("read the history of %s over REST: %w", workflowID, err)
	}
	took := time.Since(start)
	if err := answer.result(items); err != nil {
		return 0, fmt.Errorf("read the history of %s over REST: %w", workflowID, err)
	}
	return took, nil
}

// restAnswer counts the items of an answer over REST as it arrives, and keeps its end.
type restAnswer struct {
	items int
	end   []byte // shorter than the name that is counted
}

// Write implements [io.Writer]. A text cannot contain the name, because its quotes are escaped.
func (a *restAnswer) Write(part []byte) (int, error) {
	const name = `"_createdAt": `
	text := append(a.end, part...)
	a.items += bytes.Count(text, []byte(name))
	a.end = append(text[:0], text[max(0, len(text)-len(name)+1):]...)
	return len(part), nil
}

func (a *restAnswer) result(items int) error {
	switch {
	case !bytes.HasSuffix(a.end, []byte("true}\n")):
		return fmt.Errorf("the answer ends with %q, so not all are there", a.end)
	case a.items != items:
		return fmt.Errorf("received %d items of %d", a.items, items)
	}
	return nil
}

// plainHistory is [wholeHistory] with one query for the same rows and without the feed, like in psql.
func plainHistory(ctx context.Context, pool *pgxpool.Pool, workflowID string, items int) (time.Duration, error) {
	check := orderCheck{}
	start := time.Now()
	rows, err := pool.Query(ctx, `
		select "_createdAt", type, id, text1, text2, text3, number1, number2, metadata
		from chatfeed.entries where workflow_id = $1 order by "_createdAt"`, workflowID)
	if err != nil {
		return 0, fmt.Errorf("read the history of %s with one query: %w", workflowID, err)
	}
	var row struct {
		at                  time.Time
		kind, id            string
		text1, text2, text3 *string
		number1             *float64
		number2             *int32
		metadata            []byte
	}
	_, err = pgx.ForEachRow(rows, []any{
		&row.at, &row.kind, &row.id, &row.text1, &row.text2, &row.text3, &row.number1, &row.number2, &row.metadata,
	}, func() error {
		check.take(row.at.UnixMicro())
		return nil
	})
	took := time.Since(start)
	if err := errors.Join(err, check.result(items)); err != nil {
		return 0, fmt.Errorf("read the history of %s with one query: %w", workflowID, err)
	}
	return took, nil
}

// rawHistory is [wholeHistory] with the feed's query, page by page, and without the feed.
func rawHistory(ctx context.Context, source feed.Source, workflowID string, items int) (time.Duration, error) {
	check := orderCheck{}
	at := feed.Position{WorkflowID: workflowID}
	start := time.Now()
	for more := true; more; {
		pages, err := source.After(ctx, []feed.Position{at}, aheadWindow())
		if err != nil {
			return 0, err
		}
		for _, item := range pages[0].Items {
			check.take(int64(item.CreatedAt))
			at.Cursor = item.CreatedAt
		}
		more = pages[0].More
	}
	took := time.Since(start)
	if err := check.result(items); err != nil {
		return 0, fmt.Errorf("read the history of %s without the feed: %w", workflowID, err)
	}
	return took, nil
}

// rawPage is [firstPage] with the feed's query and without the feed.
func rawPage(ctx context.Context, source feed.Source, workflowID string) (time.Duration, error) {
	start := time.Now()
	pages, err := source.After(ctx, []feed.Position{{WorkflowID: workflowID}}, pageWindow())
	took := time.Since(start)
	if err == nil && len(pages[0].Items) == 0 {
		err = fmt.Errorf("read the first page of %s without the feed: it is empty", workflowID)
	}
	return took, err
}

// orderCheck counts items and checks that their stamps, in microseconds, increase.
type orderCheck struct {
	items    int
	last     int64
	disorder bool
}

func (c *orderCheck) take(stamp int64) {
	c.disorder = c.disorder || stamp <= c.last
	c.items++
	c.last = stamp
}

func (c *orderCheck) result(items int) error {
	switch {
	case c.disorder:
		return errors.New("items arrived out of order")
	case c.items != items:
		return fmt.Errorf("received %d items of %d", c.items, items)
	}
	return nil
}
