package db_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// documented returns the SQL that docs/operations.md has for a role.
func documented(t *testing.T, role string) string {
	t.Helper()
	return documentedAs(t, "sql", role)
}

// documentedAs returns the block of docs/operations.md of a language and a name.
func documentedAs(t *testing.T, language, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```" + language + " " + name + "\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, found, "docs/operations.md has no %s for %s", language, name)
	return string(found[1])
}

// as returns the address of a server's database for another role.
func as(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.User(role)
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return u.String()
}

// withRole makes a role on a server of its own and grants it what the documentation says.
func withRole(t *testing.T, role string) (owner, limited *pgxpool.Pool) {
	t.Helper()
	server := dbtest.Server(t)
	owner = openPool(t, as(t, server.URL(), "postgres"), 4)
	name := "chatfeed_" + role
	_, err := owner.Exec(t.Context(), "create role "+name+" login;"+documented(t, role))
	require.NoError(t, err)
	return owner, openPool(t, as(t, server.URL(), name), 4)
}

func refuses(t *testing.T, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := pool.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "permission denied", statement)
	}
}

func TestTheDocumentedWriterRoleCanOnlyWrite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, limited := withRole(t, "writer")
	writer := newWriter(t, limited)
	mixed := []db.Item{}
	for i := range 12 {
		mixed = append(mixed, itemOf(i%4, fmt.Sprintf("wf_%d", i*5%3), fmt.Sprint(i)))
	}
	for _, again := range []bool{false, true} {
		written, err := writer.Write(ctx, mixed...)
		require.NoError(t, err)
		for i, w := range written {
			require.Equal(t, db.Written{ID: fmt.Sprint(i), Already: again}, w)
		}
	}
	require.NoError(t, pgx.BeginFunc(ctx, limited, func(tx pgx.Tx) error {
		return failure(db.Append(ctx, tx, itemOf(0, "wf_b", "x"), itemOf(1, "wf_a", "x"), itemOf(2, "wf_b", "y")))
	}))
	_, err := limited.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ('wf_new', 'by hand')`)
	require.NoError(t, err)
	require.Len(t, column(ctx, t, owner, `select id from chatfeed.items`), len(mixed)+4)

	refuses(t, limited,
		`update chatfeed.workflows set floor = '9999-12-31'`,
		`insert into chatfeed.workflows (id, floor) values ('wf_z', 'infinity')`,
		`delete from chatfeed.workflows`,
		`select * from chatfeed.workflows for update`,
		`select setval('chatfeed.horizon', 9000000000000000)`,
		`select nextval('chatfeed.horizon')`,
		`select chatfeed.raise_horizon(9000000000000000)`,
		`select chatfeed.wait_for('wf_0', null)`,
		`begin; lock table chatfeed.horizon_turn in exclusive mode; commit`,
		`insert into chatfeed.erasures (workflow_id, type, item_id) values ('wf_0', 'message', '0')`,
		`select message from chatfeed.messages`,
		`update chatfeed.messages set message = ''`,
		`delete from chatfeed.messages`,
		`truncate chatfeed.messages`,
		`select * from chatfeed.items`)
	// Settings that a writer can change only cause extra checks of its own rows.
	for _, setting := range []string{"9223372036854775806", "-1", "0"} {
		_, err := limited.Exec(ctx, `begin; set local chatfeed.stamped = '`+setting+`'; set local chatfeed.lock = '["wf_new"]';
			insert into chatfeed.messages (workflow_id, message, "_createdAt") values ('wf_new', 'later', 'infinity'); commit`)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"by hand", "later", "later", "later"},
		column(ctx, t, owner, `select message from chatfeed.messages where workflow_id = 'wf_new' order by "_createdAt"`))
	require.Equal(t, []string{"0"}, column(ctx, t, owner,
		`select count(*)::text from chatfeed.items where "_createdAt" > clock_timestamp()`), "nothing is stamped ahead of the clock")
}

func TestTheDocumentedReaderRoleCanOnlyRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, limited := withRole(t, "reader")
	source := newSource(t, limited, db.SourceConfig{})
	connected, woken, _ := listening(t, source)
	<-connected
	require.NoError(t, failure(newWriter(t, owner).Write(ctx, itemOf(3, "wf", "a"), itemOf(0, "wf", "b"))))
	require.Contains(t, <-woken, "wf ")
	for _, read := range []func(context.Context, []feed.Position, feed.Window) ([]feed.Page, error){source.After, source.Before} {
		cursor := map[bool]feed.Cursor{true: 0, false: feed.End}
		for _, at := range cursor {
			_, err := read(ctx, []feed.Position{{WorkflowID: "wf", Cursor: at}}, feed.Window{Items: 10, Bytes: 1000})
			require.NoError(t, err)
		}
	}
	heads, err := source.Heads(ctx, []string{"wf"})
	require.NoError(t, err)
	require.NotZero(t, heads["wf"].At)
	_, err = source.Erased(ctx, "wf", 0, 10)
	require.NoError(t, err)
	workflows, err := source.Workflows(ctx, feed.Workflow{}, 10)
	require.NoError(t, err)
	require.Len(t, workflows, 1)
	require.Len(t, column(ctx, t, limited, `select id from chatfeed.items`), 2, "people look with psql")
	refuses(t, limited,
		`insert into chatfeed.messages (workflow_id, message) values ('wf', '')`,
		`update chatfeed.workflows set active = now()`,
		`delete from chatfeed.messages`,
		`select setval('chatfeed.horizon', 1)`)
}

func TestARoleThatMayNotCreateSchemasMigratesAnExistingSchema(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := embedded.Start(ctx, embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	owner := openPool(t, as(t, server.URL(), "postgres"), 2)
	_, err = owner.Exec(ctx, `create role chatfeed_migrator login; create role chatfeed_writer login;`+documented(t, "migrator"))
	require.NoError(t, err)
	migrator, err := sql.Open("pgx", as(t, server.URL(), "chatfeed_migrator"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, migrator.Close()) })
	require.NoError(t, migrations.Up(ctx, migrator))
	_, err = owner.Exec(ctx, documented(t, "writer"))
	require.NoError(t, err)
	require.NoError(t, failure(newWriter(t, openPool(t, as(t, server.URL(), "chatfeed_writer"), 2)).Write(ctx, itemOf(0, "wf", "a"))),
		"the triggers act with the rights of who migrated")
}

// Functions that anyone may make in a schema that is searched first must not run with the rights of who writes, reads or
// owns the tables.
func TestFunctionsOfOthersDoNotReplacePostgreSQLs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t)+"&search_path="+url.QueryEscape("hostile, pg_catalog"), 4)
	_, err := pool.Exec(ctx, `create schema hostile`)
	require.NoError(t, err)
	signatures := []string{
		"unnest(text[])", "unnest(timestamptz[])", "unnest(double precision[])", "unnest(integer[])", "clock_timestamp()",
		"statement_timestamp()", "set_config(text, text, boolean)", "current_setting(text, boolean)", "current_setting(text)",
		"generate_subscripts(text[], integer)", "pg_notify(text, text)", "octet_length(text)", "greatest(timestamptz, timestamptz)",
		"json_build_object(text, text, text, text, text, text)", "json_build_object(text, text, text, text)",
		"json_array_elements_text(json)", "to_timestamp(double precision)", "to_timestamp(integer)", "setval(regclass, bigint)",
		"jsonb_path_exists(jsonb, jsonpath)", "pg_column_size(jsonb)", "gen_random_uuid()", "format(text, text)",
	}
	for _, signature := range signatures {
		kind := "setof text"
		_, err := pool.Exec(ctx, `create function hostile.`+regexp.MustCompile(`^greatest`).ReplaceAllString(signature, `"greatest"`)+` returns `+kind+
			` language plpgsql as $$ begin raise 'somebody''s function ran'; end $$`)
		require.NoError(t, err, signature)
	}
	for _, operator := range []string{"=", ">", "<", "<=", ">="} {
		for _, of := range []string{"timestamptz", "integer", "double precision"} {
			_, err := pool.Exec(ctx, fmt.Sprintf(`
				create or replace function hostile.compare(%[2]s, %[2]s) returns boolean language plpgsql as
					$$ begin raise 'somebody''s operator ran'; end $$;
				create operator hostile.%[1]s (leftarg = %[2]s, rightarg = %[2]s, function = hostile.compare)`, operator, of))
			require.NoError(t, err)
		}
	}
	metadata := []byte(`{"a": [1, 2]}`)
	writer := newWriter(t, pool)
	require.NoError(t, failure(writer.Write(ctx, db.Message{WorkflowID: "wf", ID: "1", Metadata: metadata}, itemOf(1, "wf", "2"), itemOf(2, "v", "3"))))
	require.NoError(t, failure(writer.Write(ctx, itemOf(3, "wf", "4"))))
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return failure(db.Append(ctx, tx, itemOf(0, "wf", "5"), itemOf(1, "wf", "6")))
	}))
	_, err = pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ('wf', '7', ''), ('v', '8', '')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `delete from chatfeed.messages where id operator(pg_catalog.=) '7'`)
	require.NoError(t, err)
}

// The views' and functions' own parts are looked up already, named with their schema or pinned, so that whoever migrates or
// writes runs nobody's either.
func TestEveryFunctionCallsOnlyQualifiedNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1)
	const ours = `from pg_proc p where p.pronamespace = 'chatfeed'::regnamespace`
	require.NotEmpty(t, column(ctx, t, pool, `select proname::text `+ours))
	unpinned := column(ctx, t, pool, `select p.proname || ' ' || p.prosrc `+ours+` and p.prosqlbody is null
		and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)`)
	require.NotEmpty(t, unpinned, "the checks of items")
	for _, function := range unpinned {
		code := regexp.MustCompile(`'[^']*'|coalesce\(|(pg_catalog|chatfeed)\.\w+|operator\(pg_catalog\.[<>=]+\)|:=|::`).ReplaceAllString(function, "")
		require.NotRegexp(t, `\w\(|[-+*/<>=~!@#%^&|?]`, code, "a call or an operator that is looked up in the caller's search path")
	}
}
