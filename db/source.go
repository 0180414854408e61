package db

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

// readTimeout bounds a read on a database that no longer answers.
const readTimeout = 10 * time.Second

// SourceConfig configures how a [Source] listens. A zero field means its default.
type SourceConfig struct {
	// Listen is how to connect for LISTEN, as a URL or a keyword string; by default as the pool does. LISTEN needs a
	// session of its own, which a pooler in transaction mode does not provide.
	Listen string
	// Canary is how often a listener is tested with a notification of its own: 5 s. After three that are not received it is
	// considered dead.
	Canary time.Duration
}

// Source is the [feed.Source] on PostgreSQL. Its methods may be called from any goroutine.
type Source struct {
	pool   *pgxpool.Pool
	q      *dbsqlc.Queries
	listen *pgx.ConnConfig
	canary time.Duration
	*Lister
}

var _ feed.Source = (*Source)(nil)

// NewSource makes a source that reads through pool, which stays the caller's and must lead to the primary. The error
// names the invalid field of cfg.
func NewSource(pool *pgxpool.Pool, cfg SourceConfig) (*Source, error) {
	s := &Source{
		pool:   pool,
		q:      dbsqlc.New(reads{pool}),
		listen: pool.Config().ConnConfig.Copy(),
		canary: cmp.Or(cfg.Canary, 5*time.Second),
		Lister: NewLister(pool),
	}
	if s.canary < 0 {
		return nil, fmt.Errorf("db: SourceConfig.Canary is %v; it must be positive", cfg.Canary)
	}
	if cfg.Listen != "" {
		listen, err := pgx.ParseConfig(cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("db: SourceConfig.Listen: %w", err)
		}
		s.listen = listen
	}
	s.listen.RuntimeParams["client_encoding"] = "UTF8"
	for _, name := range []string{"jit", "extra_float_digits", "default_transaction_isolation", "search_path", "enable_seqscan"} {
		delete(s.listen.RuntimeParams, name) // it reads no tables, and a pooler in session mode would refuse them
	}
	s.listen.ConnectTimeout = cmp.Or(s.listen.ConnectTimeout, 5*time.Second)
	return s, nil
}

// After implements [feed.Source] in one round trip.
func (s *Source) After(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.q.After(ctx, afterParams(at, window))
	if err != nil {
		return nil, fmt.Errorf("read after cursors: %w", err)
	}
	return pages(at, rows), nil
}

// Before implements [feed.Source] in one round trip.
func (s *Source) Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := s.q.Before(ctx, dbsqlc.BeforeParams(afterParams(at, window)))
	if err != nil {
		return nil, fmt.Errorf("read before cursors: %w", err)
	}
	rows := make([]dbsqlc.AfterRow, len(found))
	for i, row := range found {
		rows[i] = dbsqlc.AfterRow(row)
	}
	return pages(at, rows), nil
}

// Heads implements [feed.Source].
func (s *Source) Heads(ctx context.Context, workflowIDs []string) (map[string]feed.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.q.Heads(ctx, workflowIDs)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	heads := make(map[string]feed.Head, len(rows))
	for _, row := range rows {
		if row.Head.Valid || row.Erased > 0 { // otherwise nothing has been written to it yet
			heads[row.ID] = feed.Head{At: cursor(row.Head), Born: cursor(row.Born), Erased: row.Erased}
		}
	}
	return heads, nil
}

// Erased implements [feed.Source]. Erasures are kept for a day.
func (s *Source) Erased(ctx context.Context, workflowID string, after int64, limit int) ([]feed.Gone, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.q.Erased(ctx, dbsqlc.ErasedParams{
		WorkflowID: workflowID, After: after, MaxErasures: int32(min(limit, 1<<20)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	gone := make([]feed.Gone, len(rows))
	for i, row := range rows {
		gone[i] = feed.Gone{WorkflowID: workflowID, Type: row.Type, ID: row.ItemID, CreatedAt: cursor(row.ItemAt), Mark: row.Mark}
	}
	return gone, nil
}

func afterParams(at []feed.Position, window feed.Window) dbsqlc.AfterParams {
	p := dbsqlc.AfterParams{
		WorkflowIds: make([]string, len(at)),
		Cursors:     make([]pgtype.Timestamptz, len(at)),
		AllTypes:    window.Types == nil,
		Types:       window.Types,
		MaxItems:    int32(min(window.Items, 1<<20)), //nolint:gosec // bounded
		MaxBytes:    int64(window.Bytes),
	}
	for i, position := range at {
		p.WorkflowIds[i] = position.WorkflowID
		p.Cursors[i] = timestamp(position.Cursor)
	}
	return p
}

// itemsAtOnce is how many items of a page share one allocation, and so how many a single item can keep in memory.
const itemsAtOnce = 16

// pages distributes rows to the pages of their positions, oldest first. The query returns them by position, but does not
// guarantee the order within a page.
func pages(at []feed.Position, rows []dbsqlc.AfterRow) []feed.Page {
	pages := make([]feed.Page, len(at))
	counts := make([]int, len(at))
	for _, row := range rows {
		counts[row.Position-1]++
	}
	pieces := make([][]feed.Item, len(at))
	for i := range rows {
		row := &rows[i]
		page, piece := &pages[row.Position-1], &pieces[row.Position-1]
		if len(*piece) == 0 {
			*piece = make([]feed.Item, min(itemsAtOnce, counts[row.Position-1]-len(page.Items)))
		}
		item := &(*piece)[0]
		*piece = (*piece)[1:]
		item.WorkflowID = at[row.Position-1].WorkflowID
		item.ID, item.Type, item.CreatedAt = row.ID, row.Type, cursor(row.CreatedAt)
		item.Metadata = row.Metadata
		if k := KindNamed(row.Type); k != nil { // otherwise it is of a later schema
			item.Body = k.body(row)
			item.Final = isFinal(k, row)
		}
		row.Text1 = ""                                                  // release a long text that is no longer needed
		page.More = row.Followed && (page.More || len(page.Items) == 0) // the last row says whether there is more; all others are followed by a row
		page.Items = append(page.Items, item)
	}
	for i := range pages {
		byTime := func(a, b *feed.Item) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) }
		if page := &pages[i]; !slices.IsSortedFunc(page.Items, byTime) {
			slices.SortFunc(page.Items, byTime)
		}
	}
	return pages
}

// cursor converts a time; null is zero.
func cursor(t pgtype.Timestamptz) feed.Cursor {
	if !t.Valid {
		return 0
	}
	return feed.Cursor(t.Time.UnixMicro())
}

// timestamp converts a cursor for PostgreSQL. A time before the epoch becomes the epoch; no item is older.
func timestamp(c feed.Cursor) pgtype.Timestamptz {
	if c == feed.End {
		return pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	}
	return pgtype.Timestamptz{Time: time.UnixMicro(int64(max(c, 0))), Valid: true}
}
