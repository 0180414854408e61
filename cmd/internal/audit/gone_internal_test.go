package audit

import (
	"log/slog"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAClientWasToldIsGoneIsNoFindingWhereTheTableDoesNotHaveIt(t *testing.T) {
	t.Parallel()
	one := item{workflow: "wf", kind: "log", id: "one", at: 1, sum: 11}
	two := item{workflow: "wf", kind: "log", id: "two", at: 2, sum: 22}
	twoAgain := item{workflow: "wf", kind: "log", id: "two", at: 3, sum: 33}
	name := func(it item) item { return item{workflow: it.workflow, kind: it.kind, id: it.id} }
	for what, test := range map[string]struct {
		frames []frame
		table  []item
		found  []Kind
	}{
		"erased, and told":                      {[]frame{{items: []item{one, two}}, {gone: []item{name(two)}}}, []item{one}, nil},
		"erased in the frame that had it":       {[]frame{{items: []item{one, two}, gone: []item{name(two)}}}, []item{one}, nil},
		"erased, and not told":                  {[]frame{{items: []item{one, two}}}, []item{one}, []Kind{Unknown}},
		"not erased, and told":                  {[]frame{{items: []item{one, two}}, {gone: []item{name(two)}}}, []item{one, two}, []Kind{Gone}},
		"told before it was given":              {[]frame{{gone: []item{name(two)}}, {items: []item{one, two}}}, []item{one}, []Kind{Unknown}},
		"of another workflow":                   {[]frame{{items: []item{one, two}}, {gone: []item{{workflow: "other", kind: "log", id: "two"}}}}, []item{one}, []Kind{Unknown}},
		"of another type":                       {[]frame{{items: []item{one, two}}, {gone: []item{{workflow: "wf", kind: "stat", id: "two"}}}}, []item{one}, []Kind{Unknown}},
		"erased and written again":              {[]frame{{items: []item{one, two}}, {gone: []item{name(two)}}, {items: []item{twoAgain}}}, []item{one, twoAgain}, nil},
		"erased and written again, but not had": {[]frame{{items: []item{one, two}}, {gone: []item{name(two)}}}, []item{one, twoAgain}, []Kind{Lost}},
		"erased twice": {
			[]frame{{items: []item{one, two}}, {gone: []item{name(two)}}, {items: []item{twoAgain}}, {gone: []item{name(two)}}}, []item{one}, nil,
		},
		"erased before it was given": {[]frame{{items: []item{one}}}, []item{one}, nil},
	} {
		c := &client{workflow: "wf", counts: new(counts), findings: new(findings), log: slog.New(slog.DiscardHandler)}
		for _, f := range test.frames {
			c.take(t.Context(), f.items)
			c.forget(f.gone)
		}
		for _, row := range test.table {
			c.pass(row, 3)
		}
		c.passUnknown(math.MaxInt64)
		var kinds []Kind
		for _, f := range c.findings.list {
			kinds = append(kinds, f.Kind)
		}
		require.Equal(t, test.found, kinds, what)
	}
}
