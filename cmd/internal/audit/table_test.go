package audit_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

func (l *lab) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := l.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// delivered waits until every client has so many items.
func delivered(t testing.TB, a *audit.Audit, items int) {
	t.Helper()
	require.Eventually(t, func() bool { return a.Progress().Delivered >= items }, time.Minute, time.Millisecond,
		"the items that clients are given")
}

// table splits findings into those about the table and those of clients.
func table(findings []audit.Finding) (table, clients []audit.Finding) {
	for _, f := range findings {
		if f.Transport == "" {
			table = append(table, f)
		} else {
			clients = append(clients, f)
		}
	}
	return table, clients
}

func TestAnItemThatIsGoneFromTheTableIsUnwritten(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Writers: 4, Items: 200})
	written(t, a)
	transports := len(audit.Transports())
	delivered(t, a, 200*transports)
	var workflow, id string
	require.NoError(t, lab.pool.QueryRow(t.Context(),
		"select workflow_id, id from chatfeed.items where type = 'log' offset 5 limit 1").Scan(&workflow, &id))
	lab.exec(t, "delete from chatfeed.logs where id = $1", id)
	awaitGone(t, a, transports-len(polling(1)))
	report := finish(t, a)
	ofTable, ofClients := table(report.Findings)
	require.Equal(t, []audit.Finding{{Kind: audit.Unwritten, Workflow: workflow, Type: "log", ID: id}}, ofTable)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Unknown: polling(1)}, byTransport(ofClients), "all others were told")
	require.Equal(t, 199, report.Items)
}

func TestACopyOfAnItemIsAFinding(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.exec(t, `create function chatfeed.copy() returns trigger language plpgsql as $$
		declare
			copy chatfeed.messages = new;
		begin
			case right(new.id, 1)::int / 2
				when 0 then copy.id = 'copy_' || new.id;
				when 1 then copy.id = new.id || '000';
				when 2 then copy.workflow_id = 'wf_2';
				when 3 then copy.workflow_id = 'wf_2'; copy.id = new.id || '_copy';
				when 4 then insert into chatfeed.logs (workflow_id, id, message) values (new.workflow_id, new.id, '');
			end case;
			if copy <> new then
				insert into chatfeed.messages select copy.*;
			end if;
			return null;
		end $$`)
	lab.exec(t, `create trigger copy after insert on chatfeed.messages for each row
		when (pg_trigger_depth() = 0 and new.workflow_id = 'wf_1') execute function chatfeed.copy()`)
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1", "wf_2"}, Writers: 1, Items: 600, Transports: audit.Transports()[:2]})
	written(t, a)
	report := finish(t, a)

	copies := make(map[string]int)
	for _, f := range report.Findings {
		require.Equal(t, audit.Twice, f.Kind)
		require.Empty(t, f.Transport)
		require.NotEmpty(t, f.CreatedAt)
		switch {
		case f.Type == "log":
			copies["in another table"]++
		case f.Workflow == "wf_1" && strings.HasPrefix(f.ID, "copy_"):
			copies["under another id"]++
		case f.Workflow == "wf_1" && strings.HasSuffix(f.ID, "000"):
			copies["under an id alike"]++
		case f.Workflow == "wf_2" && strings.HasSuffix(f.ID, "_copy"):
			copies["in another workflow under another id"]++
		case f.Workflow == "wf_2":
			copies["in another workflow"]++
		}
	}
	require.Len(t, copies, 5)
	require.Len(t, report.Findings, report.Items-600)
}

func TestAnItemThatTheTableHasChangedIsDifferent(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.exec(t, `create function chatfeed.spoil() returns trigger language plpgsql as
		$$ begin new.message = new.message || '.'; return new; end $$`)
	lab.exec(t, `create trigger spoil before insert on chatfeed.messages for each row
		when (new.id like '%7') execute function chatfeed.spoil()`)
	lab.serve(t)
	a := lab.start(t, audit.Config{Writers: 2, Items: 200})
	written(t, a)
	report := finish(t, a)
	spoiled := lab.count(t, "type = 'message' and id like '%7'")
	require.Positive(t, spoiled)
	require.Len(t, report.Findings, spoiled)
	for _, f := range report.Findings {
		require.Equal(t, audit.Different, f.Kind)
		require.Empty(t, f.Transport)
		require.Equal(t, "message", f.Type)
		require.True(t, strings.HasSuffix(f.ID, "7"))
	}
}

func TestAnItemThatWasRolledBackMustNotBeAnywhere(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Writers: 1, Items: 200})
	written(t, a)
	id := lab.firstGap(t)
	transports := len(audit.Transports())
	lab.exec(t, "insert into chatfeed.logs (workflow_id, id, message) values ('wf_1', $1, 'who wrote this?')", id)
	delivered(t, a, 201*transports)
	report := finish(t, a)
	ofTable, ofClients := table(report.Findings)
	require.Len(t, ofTable, 1)
	require.Equal(t, audit.Unknown, ofTable[0].Kind)
	require.Equal(t, id, ofTable[0].ID)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Unknown: everywhere(1)}, byTransport(ofClients))
	stamps := lab.stamps(t, "wf_1")
	for _, f := range ofClients {
		require.Equal(t, id, f.ID)
		require.Equal(t, moment(stamps, 200), f.CreatedAt)
		require.Equal(t, moment(stamps, 199), f.Cursor)
	}
}

// firstGap returns the id of the first item that a writer has begun and that is not in the table.
func (l *lab) firstGap(t testing.TB) string {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), "select id from chatfeed.items")
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	run := ids[0][:strings.LastIndex(ids[0], "_")+1]
	there := make(map[string]bool)
	for _, id := range ids {
		there[id] = true
	}
	for n := 0; ; n++ {
		if id := run + strconv.Itoa(n); !there[id] {
			require.Less(t, n, len(ids), "nothing was rolled back")
			return id
		}
	}
}

func TestWritesWithUnknownOutcomeAreRetriedUntilTheyAreWritten(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, audit.Config{Writers: 4, Items: 400, Rate: 1000})
	for range 10 {
		before := a.Progress()
		require.Eventually(t, func() bool { return a.Progress().Written > before.Written+20 }, time.Minute, time.Millisecond)
		lab.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	}
	written(t, a)
	report := finish(t, a)
	require.Empty(t, report.Findings)
	require.Equal(t, 400, report.Written)
	require.Equal(t, 400, report.Items)
}

func TestACancelledWriteIsNotAFinding(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.exec(t, `create function chatfeed.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`)
	for _, name := range []string{"messages", "logs", "stats", "progress"} {
		lab.exec(t, `create trigger refuse before insert on chatfeed.`+name+` for each row
			when (new.id like '%3') execute function chatfeed.refuse()`)
	}
	lab.serve(t)
	a := lab.start(t, audit.Config{Workflows: []string{"wf_1"}, Writers: 8, Settle: 5 * time.Second})
	require.Eventually(t, func() bool { return a.Progress().Written > 0 }, time.Minute, time.Millisecond)
	report := finish(t, a)
	require.Empty(t, report.Findings)
	require.LessOrEqual(t, report.Written, report.Items) // a cancelled write may be in the table
}
