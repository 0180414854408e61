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

// event is a frame, or that an item meets with something, or that the client comes back.
type event struct {
	frame
	fate Fate
	meet []item
	back bool
}

func given(items ...item) event           { return event{frame: frame{items: items}} }
func told(names []item) event             { return event{frame: frame{gone: names}} }
func meets(fate Fate, names []item) event { return event{fate: fate, meet: names} }

var (
	anew     = event{frame: frame{anew: []string{"wf"}}}
	comeBack = event{back: true}
)

// follows has a client live through events, compares it with a table, and returns what is found.
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

func TestWhatIsErasedMustBeToldToWhoHasItAndNotBeThere(t *testing.T) {
	t.Parallel()
	erased, ended, changed := meets(Erased, gone), meets(Ended, []item{one, two}), meets(Changed, gone)
	other := []item{{workflow: "other", kind: "log", id: "two", at: 2}}
	stat := []item{{workflow: "wf", kind: "stat", id: "two", at: 2}}
	for what, test := range map[string]struct {
		events []event
		table  []item
		found  []Kind
	}{
		"erased, and told":                      {[]event{given(one, two), erased, told(gone)}, []item{one}, nil},
		"erased, and not told":                  {[]event{given(one, two), erased}, []item{one}, []Kind{Unknown}},
		"erased by nobody, and told":            {[]event{given(one, two), told(gone)}, []item{one, two}, []Kind{Gone}},
		"told before it was given":              {[]event{told(gone), given(one, two)}, []item{one}, []Kind{Unknown}},
		"told in the frame that gives it":       {[]event{{frame: frame{items: []item{one, two}, gone: gone}}}, []item{one}, []Kind{Unknown}},
		"another workflow's is told":            {[]event{given(one, two), erased, told(other)}, []item{one}, []Kind{Unknown}},
		"another type's is told":                {[]event{given(one, two), erased, told(stat)}, []item{one}, []Kind{Unknown}},
		"erased and written again":              {[]event{given(one, two), told(gone), given(twoAgain)}, []item{one, twoAgain}, nil},
		"erased and written again, but not had": {[]event{given(one, two), told(gone)}, []item{one, twoAgain}, []Kind{Lost}},
		"erased twice":                          {[]event{given(one, two), told(gone), given(twoAgain), told([]item{twoAgain})}, []item{one}, nil},
		"told after what was written anew":      {[]event{given(one, two, twoAgain), told(gone)}, []item{one, twoAgain}, nil},
		"erased before it was given":            {[]event{given(one), erased}, []item{one}, nil},
		"erased, and still there":               {[]event{given(one, two), erased}, []item{one, two}, []Kind{Unknown}},
		"erased while the client was away":      {[]event{given(one, two), erased, comeBack}, []item{one}, nil},
		"given after it was erased":             {[]event{given(one), erased, comeBack, given(two)}, []item{one}, []Kind{Unknown}},

		"changed, and told":                   {[]event{given(one, two), changed, told(gone)}, []item{one, redacted}, nil},
		"changed, and not told":               {[]event{given(one, two), changed}, []item{one, redacted}, []Kind{Different}},
		"changed, and then given":             {[]event{given(one), changed, given(redacted)}, []item{one, redacted}, nil},
		"changed, and not given":              {[]event{given(one), changed, given(three)}, []item{one, redacted, three}, []Kind{Lost}},
		"changed, and given as it was":        {[]event{given(one), changed, given(two)}, []item{one, redacted}, []Kind{Different}},
		"changed by nobody":                   {[]event{given(one, two)}, []item{one, redacted}, []Kind{Different}},
		"begun anew, and told":                {[]event{given(one, two), ended, anew, given(three)}, []item{three}, nil},
		"begun anew, and not told":            {[]event{given(one, two), ended, given(three)}, []item{three}, []Kind{Unknown, Unknown}},
		"begun anew, and not told afterwards": {[]event{given(one, two), ended, comeBack, given(three)}, []item{three}, []Kind{Unknown, Unknown}},
		"begun anew, and not given":           {[]event{given(one, two), ended, anew}, []item{three}, []Kind{Lost}},
		"told of a beginning that was none":   {[]event{given(one, two), anew, given(three)}, []item{one, two, three}, []Kind{Lost, Lost}},
	} {
		require.Equal(t, test.found, follows(t, false, test.events, test.table), what)
	}
}

func TestAPollKeepsWhatItHasOfWhatIsErased(t *testing.T) {
	t.Parallel()
	erased, ended, changed := meets(Erased, gone), meets(Ended, []item{one, two}), meets(Changed, gone)
	for what, test := range map[string]struct {
		events []event
		table  []item
		found  []Kind
	}{
		"erased":           {[]event{given(one, two), erased}, []item{one}, nil},
		"erased by nobody": {[]event{given(one, two)}, []item{one}, []Kind{Unknown}},
		"changed":          {[]event{given(one, two), changed}, []item{one, redacted}, nil},
		"begun anew":       {[]event{given(one, two), ended, given(three)}, []item{three}, nil},
		"and not given":    {[]event{given(one, two), ended}, []item{three}, []Kind{Lost}},
	} {
		require.Equal(t, test.found, follows(t, true, test.events, test.table), what)
	}
}

func TestWhatTheDatabaseHasLostIsHeldAgainstNobody(t *testing.T) {
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
		"it was had":              {[]event{given(one, two, three), lost, given(after)}, []item{one, after}, nil, nil},
		"it was not had":          {[]event{given(one), lost, given(after)}, []item{one, after}, nil, nil},
		"what is later is before": {[]event{given(one, two, three), lost, given(before, between)}, []item{one, before, between}, nil, nil},
		"what is later is not given": {
			[]event{given(one, two, three), lost, given(after)}, []item{one, before, after}, []Kind{Lost}, nil,
		},
		"what is later is not given to who had nothing that is lost": {
			[]event{given(one), lost, given(after)}, []item{one, before, after}, []Kind{Lost}, []Kind{Lost},
		},
		"nothing was lost": {
			[]event{given(one, two, three), given(before)}, []item{one, two, three}, []Kind{Disorder, Unknown}, []Kind{Disorder, Unknown},
		},
		"it is given once more": {
			[]event{given(one, two, three), lost, given(one, after)}, []item{one, after}, []Kind{Repeated}, []Kind{Repeated},
		},
	} {
		require.Equal(t, test.streams, follows(t, false, test.events, test.table), what)
		require.Equal(t, test.polls, follows(t, true, test.events, test.table), "polled: "+what)
	}
}
