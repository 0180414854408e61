package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
)

// herdData is the workflows that the clients follow.
type herdData struct {
	lab    *Lab
	size   herdSize
	prefix string
}

func (h *herdData) workflow(n int) string { return h.prefix + "_" + strconv.Itoa(n) }

// itemID is the id of a workflow's nth item.
func itemID(n int) string { return fmt.Sprintf("msg_%032d", n) }

func (h *herdData) item(workflow, n int) db.Item {
	return db.Message{
		WorkflowID: h.workflow(workflow), ID: itemID(n), Role: "assistant", Message: Stamped(int64(n)),
	}
}

// writeHistories writes the histories.
func (h *herdData) writeHistories(ctx context.Context) error {
	if err := h.writeItems(ctx, 0, h.size.history); err != nil {
		return err
	}
	// So that autovacuum does not run during the measurement.
	if _, err := h.lab.Pool.Exec(ctx, "vacuum (analyze) chatfeed.messages, chatfeed.workflows"); err != nil {
		return fmt.Errorf("vacuum the histories: %w", err)
	}
	return nil
}

// write writes the items that the clients miss.
func (h *herdData) write(ctx context.Context) error {
	return h.writeItems(ctx, h.size.history, h.size.history+h.size.missed)
}

func (h *herdData) writeItems(ctx context.Context, from, to int) error {
	writer := db.NewWriter(h.lab.Pool)
	defer writer.Close()
	writing, ctx := errgroup.WithContext(ctx)
	writing.SetLimit(8)
	for workflow := range h.size.workflows {
		writing.Go(func() error {
			items := make([]db.Item, 0, to-from)
			for n := from; n < to; n++ {
				items = append(items, h.item(workflow, n))
			}
			_, err := writer.Write(ctx, items...)
			return err
		})
	}
	if err := writing.Wait(); err != nil {
		return fmt.Errorf("write the items of the herd: %w", err)
	}
	return nil
}

// open opens each stream at its position and reads nothing from it.
func (h *herdData) open(ctx context.Context, server *Process) (_ []*herdClient, err error) {
	cursors, err := h.cursors(ctx)
	if err != nil {
		return nil, err
	}
	clients := make([]*herdClient, 0, h.size.workflows*herdStreams)
	for workflow := range h.size.workflows {
		for _, behind := range h.size.behind(workflow) {
			next := h.size.history - behind
			clients = append(clients, &herdClient{
				workflow: h.workflow(workflow), topic: h.topic(workflow, behind),
				next: next, end: h.size.history + h.size.missed, cursor: cursors[place{h.workflow(workflow), next - 1}],
			})
		}
	}
	opening, ctx := errgroup.WithContext(ctx)
	opening.SetLimit(32)
	for _, c := range clients {
		opening.Go(func() error {
			var err error
			c.conn, _, err = openStream(ctx, server.URL, AsProtobuf, c.start(), c.topic)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		for _, c := range clients {
			c.leave()
		}
		return nil, fmt.Errorf("open streams: %w", err)
	}
	return clients, nil
}

// topic is the baseline's topic with the items that streams this far behind lack.
func (h *herdData) topic(workflow, behind int) string {
	return h.workflow(workflow) + "/" + strconv.Itoa(behind)
}

// place is a workflow's nth item.
type place struct {
	workflow string
	n        int
}

// cursors reads the timestamps at which streams begin.
func (h *herdData) cursors(ctx context.Context) (map[place]*timestamppb.Timestamp, error) {
	places := map[string]int{}
	for workflow := range 2 { // with and without a stream that is far behind
		for _, behind := range h.size.behind(workflow) {
			places[itemID(h.size.history-behind-1)] = h.size.history - behind - 1
		}
	}
	var ids []string
	for id := range places {
		ids = append(ids, id)
	}
	rows, err := h.lab.Pool.Query(ctx, `select workflow_id, id, "_createdAt" from chatfeed.messages
		where workflow_id = any ($1) and id = any ($2)`, h.workflows(), ids)
	if err != nil {
		return nil, fmt.Errorf("read the herd's cursors: %w", err)
	}
	cursors := map[place]*timestamppb.Timestamp{}
	var workflow, id string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&workflow, &id, &at}, func() error {
		cursors[place{workflow, places[id]}] = timestamppb.New(at)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the herd's cursors: %w", err)
	}
	return cursors, nil
}

func (h *herdData) workflows() []string {
	ids := make([]string, h.size.workflows)
	for i := range ids {
		ids[i] = h.workflow(i)
	}
	return ids
}

// frames is the items that each stream lacks, in the format of a feed server, for the baseline.
func (h *herdData) frames(ctx context.Context) ([]byte, error) {
	const most = 256 // items of one frame
	var all []byte
	for workflow := range h.size.workflows {
		items := make([]*v1.Item, h.size.history+h.size.missed)
		for n := range items {
			items[n] = message(h.workflow(workflow), itemID(n), Stamped(int64(n)))
		}
		behinds := h.size.behind(workflow)
		slices.Sort(behinds[:])
		for _, behind := range slices.Compact(behinds[:]) {
			lacking := items[h.size.history-behind:]
			for frame := range slices.Chunk(lacking, most) {
				last := frame[len(frame)-1] == items[len(items)-1]
				bytes, err := AsProtobuf.frame(&v1.SubscribeResponse{Items: frame, UpToDate: last})
				if err != nil {
					return nil, err
				}
				all = appendFrame(all, h.topic(workflow, behind), bytes)
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return all, nil
}
