package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Machine is what results depend on besides chatfeed. It does not reveal who measured, or where.
type Machine struct {
	CPUs       int     `json:"cpus"`
	Model      string  `json:"cpu_model"` // empty if unknown
	Memory     float64 `json:"memory_gib"`
	System     string  `json:"system"`
	Go         string  `json:"go"`
	PostgreSQL string  `json:"postgresql"`
	// Settings are the relevant settings of PostgreSQL, by name.
	Settings map[string]string `json:"postgresql_settings"`
	Date     string            `json:"date"`
}

// settings returns them in the order of the document.
func settings() []string {
	return []string{
		"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_connections",
	}
}

// Describe describes this machine and the PostgreSQL of the pool.
func Describe(ctx context.Context, pool *pgxpool.Pool) (Machine, error) {
	m := Machine{
		CPUs:     runtime.NumCPU(),
		Model:    firstField("/proc/cpuinfo", "model name"),
		System:   runtime.GOOS + "/" + runtime.GOARCH,
		Go:       strings.TrimPrefix(runtime.Version(), "go"),
		Settings: make(map[string]string),
		Date:     time.Now().UTC().Format(time.DateOnly),
	}
	kib, _ := strconv.Atoi(strings.TrimSuffix(firstField("/proc/meminfo", "MemTotal"), " kB"))
	m.Memory = float64(kib*10>>20) / 10
	rows, err := pool.Query(ctx, `select name, current_setting(name) from pg_settings
		where name = any ($1) or name = 'server_version'`, settings())
	if err != nil {
		return Machine{}, fmt.Errorf("read PostgreSQL's settings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return Machine{}, fmt.Errorf("read PostgreSQL's settings: %w", err)
		}
		if name == "server_version" {
			m.PostgreSQL, _, _ = strings.Cut(value, " ") // the rest is the package's name
		} else {
			m.Settings[name] = value
		}
	}
	if err := rows.Err(); err != nil {
		return Machine{}, fmt.Errorf("read PostgreSQL's settings: %w", err)
	}
	return m, nil
}

// firstField returns the value of the first line "name: value" of a file, or nothing.
func firstField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// markdown is the machine's section of the document.
func (m Machine) markdown() string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "## The machine\n\n%d CPUs", m.CPUs)
	if m.Model != "" {
		_, _ = fmt.Fprintf(&text, " (%s)", m.Model)
	}
	if m.Memory > 0 {
		_, _ = fmt.Fprintf(&text, ", %g GiB of memory", m.Memory)
	}
	_, _ = fmt.Fprintf(&text, ", %s; Go %s; PostgreSQL %s with", m.System, m.Go, m.PostgreSQL)
	for i, name := range settings() {
		if i > 0 {
			_, _ = text.WriteString(",")
		}
		_, _ = fmt.Fprintf(&text, " `%s = %s`", name, m.Settings[name])
	}
	_, _ = fmt.Fprintf(&text, ". The load and everything that is measured share it, over loopback. Measured on %s.\n", m.Date)
	return text.String()
}
