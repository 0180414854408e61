// Package dbtest gives tests a PostgreSQL database of their own, migrated, in about 100 ms, like net/http/httptest does
// for HTTP servers.
//
// The databases of one test process are on one server, started by the first test that asks: an embedded one, which ends
// with the process and removes its data, or the one in [EnvURL]. The schema is migrated once per server and
// copied for each test, so hundreds of tests may run in parallel, and none sees another's rows or notifications.
package dbtest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql
	"github.com/peterldowns/pgtestdb"
	"github.com/peterldowns/pgtestdb/migrators/goosemigrator"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// EnvURL is the environment variable with the URL of a server to use instead of an embedded one. Its user must be allowed
// to create databases and roles and to end other sessions.
const EnvURL = "CHATFEED_TEST_DATABASE_URL"

// startTime bounds the start of a server on a busy machine, including the download of its programs.
const startTime = 5 * time.Minute

// URL returns the address of a new database with chatfeed's schema. Its user owns the database and everything in it and is
// not a superuser. At the end of the test the database is dropped and open connections are closed; after a failed test it is
// kept for inspection, as long as the server runs.
func URL(t testing.TB) string {
	t.Helper()
	config, err := shared()
	require.NoError(t, err)
	own := pgtestdb.Custom(t, config, migrator)
	return own.URL()
}

// Pool returns a pool on a database made by [URL]. At the end of the test it is closed, which waits until every
// connection has been released.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// Server starts a server for this test alone, which may stop, restart and crash it; its database has chatfeed's schema, and
// commits are as durable as in production. It is stopped at the end of the test.
func Server(t testing.TB) *embedded.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	db, err := sql.Open("pgx", server.URL())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, migrations.Up(ctx, db))
	return server
}

// Goroutines returns options for goleak to ignore the goroutines of the shared server, which run as long as the process.
// They do not hide leaks of [Server], because stopping one waits for its goroutines.
func Goroutines() []goleak.Option {
	const server = "chatfeed/internal/embedded."
	return []goleak.Option{
		goleak.IgnoreAnyFunction(server + "(*supervisor).follow"),
		goleak.IgnoreAnyFunction(server + "(*supervisor).record"),
		goleak.IgnoreAnyFunction(server + "(*Server).watch"),
	}
}

// migrator makes the template database.
var migrator = schema{goosemigrator.New(".",
	goosemigrator.WithFS(migrations.FS), goosemigrator.WithTableName(migrations.Table))}

// schema uses goosemigrator to detect changes of the files, and migrates like the program.
type schema struct{ *goosemigrator.GooseMigrator }

// Migrate applies all migrations.
func (schema) Migrate(ctx context.Context, db *sql.DB, _ pgtestdb.Config) error {
	return migrations.Up(ctx, db)
}

// shared returns how to reach the server that the tests of this process share; the first call starts it.
var shared = sync.OnceValues(func() (pgtestdb.Config, error) {
	if address := os.Getenv(EnvURL); address != "" {
		config, err := parse(address)
		if err != nil {
			return pgtestdb.Config{}, fmt.Errorf("%s: %w", EnvURL, err)
		}
		return config, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Config{Settings: map[string]string{
		// The data need not survive a power failure. Commits are still written before they are reported, as in production.
		"fsync":            "off",
		"full_page_writes": "off",
		"max_connections":  "200",
	}})
	if err != nil {
		return pgtestdb.Config{}, err
	}
	return parse(server.URL())
})

// parse splits a URL for pgtestdb.
func parse(address string) (pgtestdb.Config, error) {
	u, err := url.Parse(address)
	if err != nil {
		if detail := new(url.Error); errors.As(err, &detail) {
			err = detail.Err // without the address, which holds the password
		}
		return pgtestdb.Config{}, err
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Hostname() == "" {
		return pgtestdb.Config{}, errors.New("it must have the form postgres://user:password@host:port/database")
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	password, _ := u.User.Password()
	return pgtestdb.Config{
		DriverName: "pgx",
		Host:       host,
		Port:       cmp.Or(u.Port(), "5432"),
		// pgtestdb puts these into addresses without escaping.
		User:                      url.User(u.User.Username()).String(),
		Password:                  url.User(password).String(),
		Database:                  strings.TrimPrefix(u.EscapedPath(), "/"),
		Options:                   u.RawQuery,
		ForceTerminateConnections: true,
	}, nil
}
