package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"chatfeed/db"
)

const (
	// transactionItems is the most items in one transaction.
	transactionItems = 4
	// transactionTimeout bounds a transaction on a database that no longer answers.
	transactionTimeout = 30 * time.Second
)

// writing is the writers of an audit.
type writing struct {
	cfg    *Config
	sums   sums
	counts *counts
	ledger ledger
	writer *db.Writer
	limit  *rate.Limiter

	ctx    context.Context // of the writes
	cancel context.CancelFunc
	stop   context.Context // ends when no more writes may begin
	end    context.CancelFunc
	ended  chan struct{} // closed when all writers have ended

	mu     sync.Mutex
	left   int   // items still to write, if Config.Items is set
	failed int   // transactions
	last   error // the last failure
}

func newWriting(ctx context.Context, cfg *Config, sums sums, counts *counts) *writing {
	w := &writing{cfg: cfg, sums: sums, counts: counts, left: cfg.Items, ended: make(chan struct{})}
	w.ledger.run, w.ledger.workflows = newRun(), cfg.Workflows
	w.limit = rate.NewLimiter(rate.Inf, transactionItems)
	if cfg.Rate > 0 {
		w.limit.SetLimit(rate.Limit(cfg.Rate))
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.stop, w.end = context.WithCancel(w.ctx)
	return w
}

func (w *writing) start() {
	if w.cfg.Writers+w.cfg.Answers == 0 {
		close(w.ended)
		return
	}
	w.writer = db.NewWriter(w.cfg.Pool)
	var running sync.WaitGroup
	for range w.cfg.Writers {
		running.Go(w.run)
	}
	for range w.cfg.Answers {
		running.Go(w.runAnswers)
	}
	go func() {
		running.Wait()
		w.writer.Close()
		close(w.ended)
	}()
}

// finish stops new writes, and waits for pending ones; it cancels those that have not ended within Config.Settle.
func (w *writing) finish(ctx context.Context) {
	defer w.cancel()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Settle)
	defer cancel()
	w.end()
	select {
	case <-w.ended:
	case <-ctx.Done():
		w.cancel()
		<-w.ended
	}
}

// run writes one transaction after the other.
func (w *writing) run() {
	for {
		items := 1 + rand.N(transactionItems)
		way := rand.N(10)
		rollsBack := way == 0
		if !rollsBack {
			if items = w.reserve(items); items == 0 {
				return
			}
		}
		if w.limit.WaitN(w.stop, items) != nil {
			return
		}
		numbers, batch := w.make(items)
		switch {
		case rollsBack:
			w.ledger.setOutcome(numbers, outcomeRolledBack)
			w.rollBack(batch)
		case way <= 3:
			w.write(numbers, batch, w.transact)
		default:
			w.write(numbers, batch, w.writer.Write)
		}
	}
}

// reserve returns how many of the remaining items may be written now, at most n.
func (w *writing) reserve(n int) int {
	if w.cfg.Items == 0 {
		return n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, w.left)
	w.left -= n
	return n
}

// make makes the items of a transaction, most of them of one workflow.
func (w *writing) make(n int) (numbers []int, items []db.Item) {
	workflow := rand.N(len(w.cfg.Workflows))
	for range n {
		if rand.N(4) == 0 {
			workflow = rand.N(len(w.cfg.Workflows))
		}
		number := w.ledger.begin()
		made, kind := randomItem(w.cfg.Workflows[workflow], w.ledger.id(number))
		w.ledger.set(number, entry{sum: w.sums.written(kinds()[kind], made), workflow: int32(workflow), kind: uint8(kind)}) //nolint:gosec // bounded
		numbers, items = append(numbers, number), append(items, made)
	}
	return numbers, items
}

// written is the sum of an item to write. Its JSON names are those that clients see.
func (s sums) written(kind string, made db.Item) uint64 {
	text, err := json.Marshal(made)
	if err != nil {
		return 0
	}
	var fields map[string]any
	if err := decodeJSON(text, &fields); err != nil {
		return 0
	}
	var metadata uint64
	if value, ok := fields["metadata"]; ok {
		metadata = s.jsonMetadata(value)
	}
	for _, name := range []string{"workflowId", "id", "metadata"} {
		delete(fields, name)
	}
	return s.contents(kind, s.object(fields), metadata)
}

// write retries until the items are written, or the writes are cancelled.
func (w *writing) write(numbers []int, items []db.Item, way func(context.Context, ...db.Item) ([]db.Written, error)) {
	pause := shortestPause
	for try := 1; ; try++ {
		_, err := way(w.ctx, items...)
		if err == nil {
			w.ledger.setOutcome(numbers, outcomeWritten)
			w.counts.written.Add(int64(len(items)))
			return
		}
		if w.ctx.Err() != nil { // cancelled
			return
		}
		w.fail(err)
		level := slog.LevelDebug
		if try == warnAfter {
			level = slog.LevelWarn
		}
		w.cfg.Log.Log(w.ctx, level, "write failed; retrying", "items", len(items), "tries", try, "error", err)
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
}

func (w *writing) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	w.last = err
}

// whyUnwritten says why nothing was written. The writers must have ended.
func (w *writing) whyUnwritten() string {
	if w.last == nil {
		return "nothing was written: the writers were ended before their first write"
	}
	return fmt.Sprintf("nothing was written: %d writes failed, the last with: %v", w.failed, w.last)
}

// transact writes items in a transaction of their own.
func (w *writing) transact(ctx context.Context, items ...db.Item) (written []db.Written, err error) {
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, w.cfg.Pool, func(tx pgx.Tx) error {
		written, err = db.Append(ctx, tx, items...)
		return err
	})
	return written, err
}

var errRollBack = errors.New("rolled back")

// rollBack writes items in a transaction that never commits, so that it does not matter whether it fails.
func (w *writing) rollBack(items []db.Item) {
	ctx, cancel := context.WithTimeout(w.ctx, transactionTimeout)
	defer cancel()
	_ = pgx.BeginFunc(ctx, w.cfg.Pool, func(tx pgx.Tx) error {
		_, err := db.Append(ctx, tx, items...)
		return errors.Join(err, errRollBack)
	})
}
