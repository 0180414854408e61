package audit

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// A piece of the message "m", and the message itself.
func piece(at int64, attempt int32, from int32, text string) item {
	id := "m:" + string('0'+rune(attempt)) + ":0:" + string('0'+from)
	return item{
		workflow: "wf", kind: "delta", id: id, at: at,
		shown: shown{MessageID: "m", Attempt: attempt, Kind: "text", At: from, Delta: text}.json(),
	}
}

func whole(at int64, text string) item {
	return item{workflow: "wf", kind: "message", id: "m", at: at, shown: shown{Message: text, Role: "assistant"}.json()}
}

// shows gives a client items and a table rows, and returns the findings.
func shows(t *testing.T, items, rows []item, fates map[key]Fate) []Finding {
	t.Helper()
	c := &client{
		workflow: "wf", counts: new(counts), findings: new(findings), fates: &ledger{run: "run", fates: fates},
		log: slog.New(slog.DiscardHandler),
	}
	c.take(t.Context(), items)
	chat := newTableChat("wf")
	for _, row := range rows {
		chat.add(row)
		c.pass(row, rows[len(rows)-1].at)
	}
	c.passUnknown(1 << 62)
	c.passReplaced(chat)
	c.compareShown(chat)
	list, _ := c.findings.all()
	return list
}

func TestAClientMustShowWhatTheTableShows(t *testing.T) {
	t.Parallel()
	first, second := piece(1, 1, 0, "Hel"), piece(2, 1, 3, "lo")
	require.Empty(t, shows(t, []item{first, second, whole(3, "Hello")}, []item{whole(3, "Hello")}, nil))
	require.Empty(t, shows(t, []item{whole(3, "Hello")}, []item{whole(3, "Hello")}, nil), "the deltas were gone already")
	require.Empty(t, shows(t, []item{first, second}, []item{first, second}, nil))

	found := shows(t, []item{first, second, whole(3, "Hello")}, []item{whole(3, "Hallo")}, nil)
	require.Len(t, found, 1)
	require.Equal(t, Shown, found[0].Kind)
	require.Equal(t, "m", found[0].ID)
	require.Empty(t, shows(t, []item{first, whole(3, "Hello")}, []item{whole(3, "Hallo")},
		map[key]Fate{{"wf", "message", "m"}: Changed}), "a test has changed it")
}

func TestADeltaIsReplacedByItsMessageOnly(t *testing.T) {
	t.Parallel()
	first, second := piece(1, 1, 0, "Hel"), piece(2, 1, 3, "lo")
	found := shows(t, []item{first, second}, []item{second}, nil)
	require.Len(t, found, 1)
	require.Equal(t, Unknown, found[0].Kind)
	require.Equal(t, first.id, found[0].ID)
	found = shows(t, []item{whole(1, "Hello"), second}, []item{whole(1, "Hello")}, nil)
	require.Len(t, found, 1, "it came after its message")
	require.Equal(t, Unknown, found[0].Kind)
}
