package temporaldev

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	plugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	schema "go.temporal.io/server/schema/sqlite"
)

// openStore prepares a database with the server's tables and the namespace, in the file, or in memory when that is
// empty. Existing data is kept.
func openStore(ctx context.Context, file, namespace string) (*config.SQL, error) {
	store := &config.SQL{PluginName: plugin.PluginName, ConnectAttributes: map[string]string{
		"mode": "memory", "cache": "shared",
	}}
	if file == "" {
		store.DatabaseName = "chatfeed-" + rand.Text() // the plugin keeps databases by name as long as the process runs
	} else {
		path, err := prepareFile(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("--db-filename %s: %w", file, err)
		}
		store.DatabaseName = (&url.URL{Path: path}).EscapedPath() // the plugin makes it part of a URI
		store.ConnectAttributes = map[string]string{
			"mode": "rwc", "busy_timeout": "5000", "journal_mode": "wal", "synchronous": "normal",
		}
	}
	details, err := schema.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err != nil {
		return nil, fmt.Errorf("prepare the namespace %q: %w", namespace, err)
	}
	if err := schema.CreateNamespaces(store, details); err != nil {
		return nil, fmt.Errorf("prepare the namespace %q: %w", namespace, err)
	}
	return store, nil
}

// prepareFile makes the file with the tables, and its folder, where they are missing, and returns the file's absolute path. The
// tables are made in one transaction, so that an interrupted start leaves none or all.
func prepareFile(ctx context.Context, file string) (path string, err error) {
	path, err = filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout=5000")
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	var tables int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil || tables > 0 {
		return path, err
	}
	if err := schema.SetupSchemaOnDB(schemaTx{ctx: ctx, tx: tx}); err != nil {
		return "", err
	}
	return path, tx.Commit()
}

// schemaTx runs the statements of a schema in a transaction. It implements nothing else of [sqlplugin.AdminDB].
type schemaTx struct {
	sqlplugin.AdminDB
	ctx context.Context // Exec has no parameter for it
	tx  *sql.Tx
}

// Exec runs one statement.
func (s schemaTx) Exec(statement string, args ...any) error {
	_, err := s.tx.ExecContext(s.ctx, statement, args...)
	return err
}
