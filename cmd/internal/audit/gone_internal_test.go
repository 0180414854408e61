package audit

import (
	"log/slog"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	one      = item{workflow: "wf", kind: "log", id: "one", at: 1, sum: 11}
	two      = item{workflow: "wf", kind: "log", id: "two", at: 2, sum: 22}
	three    = item{workflow: "wf", kind: "log", id: "three", at: 3, sum: 33}
	twoAgain = item{workflow: "wf", kind: "log", id: "two", at: 4, sum: 44}
	redacted = item{workflow: "wf", kind: "log", id: "two", at: 2, sum: 55}
	gone     = []item{{workflow: "wf", kind: "log", id: "two", at: 2}}
)

// event is a frame, the fate of an item, or a reconnect of the client.
type event struct {
	frame
	fate Fate
	meet []item
	back bool
}

func received(items ...item) event        { return event{frame: frame{items: items}} }
func notified(names []item) event         { return event{frame: frame{gone: names}} }
func meets(fate Fate, names []item) event { return event{fate: fate, meet: names} }

var (
	anew     = event{frame: frame{anew: []string{"wf"}}}
	comeBack = event{back: true}
)

// follows passes events to a client, compares it with a table, and returns the findings.
func follows(t *testing.T, polls bool, events []event, table []item) (kinds []Kind) {
	t.Helper()
	ledger := &ledger{run: newRun(), workflows: []string{"wf"}}
	c := &client{
		workflow: "wf", transport: Transport{polls: polls}, counts: new(counts), findings: new(findings), fates: ledger,
		log: slog.New(slog.DiscardHandler),
	}
	for _, e := range events {
		for _, it := range e.meet {
			ledger.setFate(e.fate, key{it.workflow, it.kind, it.id})
		}
		if e.back {
			c.returned()
		}
		c.forget(e.gone, e.anew)
		c.take(t.Context(), e.items)
	}
	head := int64(0)
	for _, row := range table {
		head = max(head, row.at)
	}
	for _, row := range table {
		ledger.pass(row, nil, nil, c.findings)
		c.pass(row, head)
	}
	c.passUnknown(math.MaxInt64)
	for _, f := range c.findings.list {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

func TestErasedItemsMustBeReportedAndAbsent(t *testing.T) {
	t.Parallel()
	erased, ended, changed := meets(Erased, gone), meets(Ended, []item{one, two}), meets(Changed, gone)
	other := []item{{workflow: "other", kind: "log", id: "two", at: 2}}
	stat := []item{{workflow: "wf", kind: "stat", id: "two", at: 2}}
	for what, test := range map[string]struct {
		events []event
		table  []item
		found  []Kind
	}{
		"erased, and notified":                       {[]event{received(one, two), erased, notified(gone)}, []item{one}, nil},
		"erased, and not told":                       {[]event{received(one, two), erased}, []item{one}, []Kind{Unknown}},
		"not erased, but notified":                   {[]event{received(one, two), notified(gone)}, []item{one, two}, []Kind{Gone}},
		"notified before it was received":            {[]event{notified(gone), received(one, two)}, []item{one}, []Kind{Unknown}},
		"told in the frame that gives it":            {[]event{{frame: frame{items: []item{one, two}, gone: gone}}}, []item{one}, []Kind{Unknown}},
		"notified for another workflow":              {[]event{received(one, two), erased, notified(other)}, []item{one}, []Kind{Unknown}},
		"notified for another type":                  {[]event{received(one, two), erased, notified(stat)}, []item{one}, []Kind{Unknown}},
		"erased and written again":                   {[]event{received(one, two), notified(gone), received(twoAgain)}, []item{one, twoAgain}, nil},
		"erased and written again, but not received": {[]event{received(one, two), notified(gone)}, []item{one, twoAgain}, []Kind{Lost}},
		"erased twice":                               {[]event{received(one, two), notified(gone), received(twoAgain), notified([]item{twoAgain})}, []item{one}, nil},
		"notified after it was written again":        {[]event{received(one, two, twoAgain), notified(gone)}, []item{one, twoAgain}, nil},
		"erased before it was given":                 {[]event{received(one), erased}, []item{one}, nil},
		"erased, and still there":                    {[]event{received(one, two), erased}, []item{one, two}, []Kind{Unknown}},
		"erased while the client was away":           {[]event{received(one, two), erased, comeBack}, []item{one}, nil},
		"given after it was erased":                  {[]event{received(one), erased, comeBack, received(two)}, []item{one}, []Kind{Unknown}},

		"changed, and told":                   {[]event{received(one, two), changed, notified(gone)}, []item{one, redacted}, nil},
		"changed, and not told":               {[]event{received(one, two), changed}, []item{one, redacted}, []Kind{Different}},
		"changed, and then given":             {[]event{received(one), changed, received(redacted)}, []item{one, redacted}, nil},
		"changed, and not given":              {[]event{received(one), changed, received(three)}, []item{one, redacted, three}, []Kind{Lost}},
		"changed, and given as it was":        {[]event{received(one), changed, received(two)}, []item{one, redacted}, []Kind{Different}},
		"changed by nobody":                   {[]event{received(one, two)}, []item{one, redacted}, []Kind{Different}},
		"begun anew, and told":                {[]event{received(one, two), ended, anew, received(three)}, []item{three}, nil},
		"begun anew, and not told":            {[]event{received(one, two), ended, received(three)}, []item{three}, []Kind{Unknown, Unknown}},
		"begun anew, and not told afterwards": {[]event{received(one, two), ended, comeBack, received(three)}, []item{three}, []Kind{Unknown, Unknown}},
		"begun anew, and not given":           {[]event{received(one, two), ended, anew}, []item{three}, []Kind{Lost}},
		"told of a beginning that was none":   {[]event{received(one, two), anew, received(three)}, []item{one, two, three}, []Kind{Lost, Lost}},
	} {
		require.Equal(t, test.found, follows(t, false, test.events, test.table), what)
	}
}

func TestAPollKeepsErasedItems(t *testing.T) {
	t.Parallel()
	erased, ended, changed := meets(Erased, gone), meets(Ended, []item{one, two}), meets(Changed, gone)
	for what, test := range map[string]struct {
		events []event
		table  []item
		found  []Kind
	}{
		"erased":           {[]event{received(one, two), erased}, []item{one}, nil},
		"erased by nobody": {[]event{received(one, two)}, []item{one}, []Kind{Unknown}},
		"changed":          {[]event{received(one, two), changed}, []item{one, redacted}, nil},
		"begun anew":       {[]event{received(one, two), ended, received(three)}, []item{three}, nil},
		"and not given":    {[]event{received(one, two), ended}, []item{three}, []Kind{Lost}},
	} {
		require.Equal(t, test.found, follows(t, true, test.events, test.table), what)
	}
}

func TestItemsThatTheDatabaseHasLostAreNotFindings(t *testing.T) {
	t.Parallel()
	at := func(it item, at int64) item { it.id, it.at = "later", at; return it }
	lost := meets(Forfeited, []item{two, three})
	before, between, after := at(two, 2), at(two, 3), at(two, 4)
	between.id = "between"
	for what, test := range map[string]struct {
		events         []event
		table          []item
		streams, polls []Kind
	}{
		"it was had":              {[]event{received(one, two, three), lost, received(after)}, []item{one, after}, nil, nil},
		"it was not had":          {[]event{received(one), lost, received(after)}, []item{one, after}, nil, nil},
		"what is later is before": {[]event{received(one, two, three), lost, received(before, between)}, []item{one, before, between}, nil, nil},
		"what is later is not given": {
			[]event{received(one, two, three), lost, received(after)}, []item{one, before, after}, []Kind{Lost}, nil,
		},
		"what is later is not given to who had nothing that is lost": {
			[]event{received(one), lost, received(after)}, []item{one, before, after}, []Kind{Lost}, []Kind{Lost},
		},
		"nothing was lost": {
			[]event{received(one, two, three), received(before)}, []item{one, two, three}, []Kind{Disorder, Unknown}, []Kind{Disorder, Unknown},
		},
		"it is given once more": {
			[]event{received(one, two, three), lost, received(one, after)}, []item{one, after}, []Kind{Repeated}, []Kind{Repeated},
		},
	} {
		require.Equal(t, test.streams, follows(t, false, test.events, test.table), what)
		require.Equal(t, test.polls, follows(t, true, test.events, test.table), "polled: "+what)
	}
}
