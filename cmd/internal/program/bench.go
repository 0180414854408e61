package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/cmd/internal/bench"
	"chatfeed/db"
	"chatfeed/internal/embedded"
)

// Bench is the command that measures chatfeed against baselines, all on this machine.
type Bench struct {
	Scenarios []string `arg:"" name:"scenario" optional:"" help:"What to measure: latency, fanout, write, catchup, herd, stream, steady or all, which is the default."`
	Measuring
}

// Measuring is the flags of a command that measures and reports.
type Measuring struct {
	DatabaseURL string `help:"PostgreSQL to measure with, as a URL; it is written to and migrated, so it is not taken from the environment. Without it, a temporary one is started." env:"-" placeholder:"URL"`
	PgBin       string `help:"Folder with the programs of PostgreSQL; without it, they are searched for." placeholder:"DIR" type:"existingdir"`
	JSON        bool   `help:"Print one JSON object." name:"json"`
	Out         string `help:"Write the document, and JSON and plots for it, into this folder." placeholder:"DIR" type:"path"`
	Short       bool   `help:"Measure only briefly, to check that it works." hidden:""`
}

// all stands for every scenario.
const all = "all"

// Run measures and prints. Progress is shown on standard error.
func (c *Bench) Run(ctx context.Context, _ *slog.Logger) error {
	scenarios, err := c.scenarios()
	if err != nil {
		return err
	}
	progress := NewProgress(os.Stderr)
	defer progress.Clear()
	lab, closeLab, err := c.Lab(ctx, progress.Show)
	if err != nil {
		return err
	}
	defer closeLab()
	machine, err := bench.Describe(ctx, lab.Pool)
	if err != nil {
		return err
	}
	report := &bench.Report{Machine: machine}
	for _, scenario := range scenarios {
		progress.Show("%s: starting", scenario.Name)
		result, err := scenario.Run(ctx, lab)
		switch {
		case ctx.Err() != nil:
			return errors.New("bench: interrupted; nothing is reported")
		case err != nil:
			return fmt.Errorf("bench %s: %w", scenario.Name, err)
		}
		report.Measured = append(report.Measured, bench.Measured{Scenario: scenario, Result: result})
	}
	progress.Clear()
	return c.Report(report)
}

// Report saves a report where --out says, and prints it.
func (c *Measuring) Report(report *bench.Report) error {
	if c.Out != "" {
		if err := report.Save(c.Out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if c.JSON {
		return report.JSON(os.Stdout)
	}
	return report.Tables(os.Stdout)
}

// scenarios returns the requested scenarios, in the standard order.
func (c *Bench) scenarios() ([]bench.Scenario, error) {
	known := bench.Scenarios()
	for _, name := range c.Scenarios {
		if name != all && !slices.ContainsFunc(known, func(s bench.Scenario) bool { return s.Name == name }) {
			return nil, usagef("SCENARIO: %q is unknown; accepted are %s and %s", name, scenarioNames(), all)
		}
	}
	if len(c.Scenarios) == 0 || slices.Contains(c.Scenarios, all) {
		return known, nil
	}
	return slices.DeleteFunc(known, func(s bench.Scenario) bool { return !slices.Contains(c.Scenarios, s.Name) }), nil
}

func scenarioNames() string {
	var names []string
	for _, s := range bench.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// Lab prepares a database to measure with, and the folder that --out names. The caller must call closeLab.
func (c *Measuring) Lab(ctx context.Context, progress func(string, ...any)) (lab *bench.Lab, closeLab func(), err error) {
	if c.Out != "" {
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return nil, nil, usagef("--out: %v", err)
		}
	}
	if c.DatabaseURL != "" {
		pool, err := benchPool(ctx, c.DatabaseURL)
		if err != nil {
			return nil, nil, fmt.Errorf("--database-url: %w", err)
		}
		return &bench.Lab{DatabaseURL: c.DatabaseURL, Pool: pool, Short: c.Short, Progress: progress}, pool.Close, nil
	}
	progress("starting PostgreSQL")
	// Other settings are PostgreSQL's defaults, so commits are durable.
	server, err := embedded.Start(ctx, embedded.Config{Bin: c.PgBin, Settings: map[string]string{"max_connections": "300"}})
	switch {
	case err != nil && c.PgBin != "":
		return nil, nil, fmt.Errorf("--pg-bin: %w", err)
	case err != nil:
		return nil, nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	pool, err := benchPool(ctx, server.URL())
	if err != nil {
		return nil, nil, errors.Join(err, server.Stop())
	}
	closeLab = func() { pool.Close(); _ = server.Stop() }
	return &bench.Lab{DatabaseURL: server.URL(), Pool: pool, Short: c.Short, Progress: progress}, closeLab, nil
}

// benchPool opens a pool on a database and brings its schema up to date. The caller closes the pool.
func benchPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	pool, err := db.Open(ctx, url)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	if err := migrateUp(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// Progress shows progress: on a terminal in one line that changes, otherwise a line for each step.
type Progress struct {
	w        io.Writer
	terminal bool
}

// NewProgress makes a Progress that writes to a file.
func NewProgress(file *os.File) *Progress {
	info, err := file.Stat()
	return &Progress{w: file, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Show shows what is being done now.
func (p *Progress) Show(format string, args ...any) {
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
		return
	}
	_, _ = fmt.Fprintf(p.w, format+"\n", args...)
}

// Clear removes the line from a terminal.
func (p *Progress) Clear() {
	if p.terminal {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
}
