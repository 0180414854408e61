package db_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

func nested(open, inside, end string, n int) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

// The same rule applies to psql and to this package.
func TestMetadataThatClientsCannotDecodeCannotBeStored(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	for metadata, accepted := range map[string]bool{
		nested("[", "", "]", 32):           true,
		nested("[", "", "]", 33):           false,
		nested(`{"a":`, "1", "}", 32):      true,
		nested(`{"a":`, "1", "}", 33):      false,
		nested(`[{"a":`, "[]", "}]", 16):   false,
		nested(`[{"a":`, "1", "}]", 16):    true,
		`[` + nested("[", "1", "]", 32):    false,
		`null`:                             true,
		`"text"`:                           true,
		`0.1`:                              true,
		`-0`:                               true,
		`1e300`:                            true,
		`9007199254740992`:                 true,
		`9007199254740993`:                 false,
		`12345678901234567890`:             false,
		`-12345678901234567000`:            true,
		`0.1234567890123456789`:            false,
		`0.30000000000000004`:              true,
		`3.141592653589793`:                true,
		`1e400`:                            false,
		`1e-400`:                           false,
		`5e-324`:                           false,
		`2.2250738585072014e-308`:          true,
		`{"deep": {"number": [1, 1e309]}}`: false,
		`{"12345678901234567890": 1}`:      true,
		`"12345678901234567890"`:           true,
	} {
		if strings.Count(metadata, "[") > strings.Count(metadata, "]") {
			metadata += "]"
		}
		_, byHand := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, message, metadata) values ('wf', '', $1::text::jsonb)`, metadata)
		_, byWriter := writer.Write(ctx, db.Log{WorkflowID: "wf", Metadata: json.RawMessage(metadata)})
		if accepted {
			require.NoError(t, byHand, metadata)
			require.NoError(t, byWriter, metadata)
			continue
		}
		require.ErrorContains(t, byHand, "metadata_decodable", metadata)
		var invalid *db.InvalidItemError
		require.ErrorAs(t, byWriter, &invalid, metadata)
		require.Equal(t, "metadata", invalid.Field)
		require.Contains(t, invalid.Reason, "32 deep")
	}
}

func TestLimitsApplyToTheSizeThatTheCallerSends(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	compact := `[` + strings.Repeat(`1,`, 32766) + `1]` // PostgreSQL puts a space after each comma
	require.LessOrEqual(t, len(compact), 64<<10)
	require.NoError(t, failure(writer.Write(ctx, db.Message{WorkflowID: "wf", Metadata: json.RawMessage(compact)})))

	long := `[` + strings.Repeat(`1e300,`, 1000) + `1]` // and all digits of a number
	_, err := writer.Write(ctx, db.Message{WorkflowID: "wf", Metadata: json.RawMessage(long)})
	var invalid *db.InvalidItemError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "metadata", invalid.Field)
	require.Contains(t, invalid.Error(), "131072 bytes")
}

func TestACallIsBoundedInItemsAndBytes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	items := make([]db.Item, db.MaxItems+1)
	for i := range items {
		items[i] = db.Log{WorkflowID: fmt.Sprint("wf_", i%100), ID: fmt.Sprint(i)}
	}
	written, err := writer.Write(ctx, items[:db.MaxItems]...)
	require.NoError(t, err)
	require.Len(t, written, db.MaxItems)
	_, err = writer.Write(ctx, items...)
	require.EqualError(t, err, "items: are 10001; at most 10000 are accepted in one call")

	large := make([]db.Item, 17)
	for i := range large {
		large[i] = db.Message{WorkflowID: "large", Message: strings.Repeat("x", 1<<20)}
	}
	require.NoError(t, failure(writer.Write(ctx, large[:16]...)))
	_, err = writer.Write(ctx, large...)
	require.EqualError(t, err, "items: have 17825792 bytes; at most 16777216 are accepted in one call")
}

func TestAnUnsuitableDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := embedded.Start(ctx, embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	admin := openPool(t, as(t, server.URL(), "postgres"), 1)
	_, err = admin.Exec(ctx, `create database bytes encoding 'SQL_ASCII' locale 'C' template template0`)
	require.NoError(t, err)
	address := strings.Replace(as(t, server.URL(), "postgres"), "/chatfeed?", "/bytes?", 1)
	pool, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	require.ErrorContains(t, migrations.Up(ctx, pool), "chatfeed needs a database with the encoding UTF8; this one has SQL_ASCII")
}
