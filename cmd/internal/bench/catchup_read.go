package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// pageWindow is what a server reads at once for who waits for it, and aheadWindow what it reads ahead for who is far behind.
func pageWindow() feed.Window  { return feed.Window{Items: 256, Bytes: 256 << 10} }
func aheadWindow() feed.Window { return feed.Window{Items: 1024, Bytes: 256 << 10} }

// firstPage returns how long a client that has just come waits for the first items of a workflow's history.
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

// wholeHistory returns how long a client needs to have all of a workflow's items, which must be as many as given.
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

// readHistory subscribes to a workflow from its beginning, over a connection of its own, until take has what it wants.
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
			cancel() // the stream has no end of its own
			_ = stream.Close()
			return nil
		}
	}
	return errors.Join(stream.Err(), stream.Close(), errors.New("the stream has ended"))
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

// orderCheck counts items and notes whether their stamps, in microseconds, grow.
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
		return errors.New("items have come out of order")
	case c.items != items:
		return fmt.Errorf("%d items have come; %d are there", c.items, items)
	}
	return nil
}
