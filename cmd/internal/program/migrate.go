package program

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"chatfeed/migrations"
)

// Migrate is the command that creates and changes the schema.
type Migrate struct {
	Up     MigrateUp     `cmd:"" help:"Apply all pending migrations. May run concurrently."`
	Down   MigrateDown   `cmd:"" help:"Undo the latest migration."`
	Status MigrateStatus `cmd:"" help:"Show which migrations have been applied."`
}

// MigrateUp applies all migrations.
type MigrateUp struct{ Database }

// Run prints what it has applied.
func (c *MigrateUp) Run(ctx context.Context) error {
	return c.migrate(ctx, func(provider *goose.Provider) error {
		results, err := provider.Up(ctx)
		printResults(os.Stdout, results)
		if err == nil && len(results) == 0 {
			_, _ = fmt.Fprintln(os.Stdout, "nothing to do: the schema is up to date")
		}
		return err
	})
}

// MigrateDown undoes the latest migration, and all items with it when it is the one that made their tables.
type MigrateDown struct{ Database }

// Run prints what it has undone.
func (c *MigrateDown) Run(ctx context.Context) error {
	return c.migrate(ctx, func(provider *goose.Provider) error {
		result, err := provider.Down(ctx)
		if result != nil {
			printResults(os.Stdout, []*goose.MigrationResult{result})
		}
		return err
	})
}

// MigrateStatus shows the state of each migration.
type MigrateStatus struct {
	Database
	JSON bool `help:"Print a JSON array." name:"json"`
}

type migrationStatus struct {
	Version   int64      `json:"version"`
	File      string     `json:"file"`
	State     string     `json:"state"` // applied or pending
	AppliedAt *time.Time `json:"appliedAt,omitempty"`
}

// Run prints a line for each migration.
func (c *MigrateStatus) Run(ctx context.Context) error {
	return c.migrate(ctx, func(provider *goose.Provider) error {
		found, err := provider.Status(ctx)
		if err != nil {
			return err
		}
		statuses := make([]migrationStatus, len(found))
		for i, s := range found {
			statuses[i] = migrationStatus{Version: s.Source.Version, File: s.Source.Path, State: string(s.State)}
			if !s.AppliedAt.IsZero() {
				statuses[i].AppliedAt = &s.AppliedAt
			}
		}
		if c.JSON {
			return json.NewEncoder(os.Stdout).Encode(statuses)
		}
		for _, s := range statuses {
			at := ""
			if s.AppliedAt != nil {
				at = s.AppliedAt.Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(os.Stdout, "%-8s  %-24s  %s\n", s.State, s.File, at)
		}
		return nil
	})
}

func (c *Database) migrate(ctx context.Context, do func(*goose.Provider) error) error {
	pool, err := c.open(ctx, 2) // one of them holds the lock
	if err != nil {
		return err
	}
	defer pool.Close()
	database := sql.OpenDB(stdlib.GetPoolConnector(pool))
	defer func() { _ = database.Close() }()
	provider, err := migrations.Provider(ctx, database)
	if err != nil {
		return migrations.Describe(err)
	}
	return migrations.Describe(do(provider))
}

func printResults(w io.Writer, results []*goose.MigrationResult) {
	for _, r := range results {
		_, _ = fmt.Fprintf(w, "%-4s  %s  %v\n", r.Direction, r.Source.Path, r.Duration.Round(time.Millisecond))
	}
}
