package feed_test

import (
	"time"

	"pgregory.net/rapid"

	"chatfeed/feed"
)

// script is a random run of a feed: what happens, one after the other, while its readers read.
type script struct {
	Window feed.Bounds
	Sweep  time.Duration
	Linger time.Duration
	Early  []time.Duration // how long the queries take before their snapshot, in turn
	Late   []time.Duration // and after it
	Fails  []bool          // which of them fail
	Steps  []step
}

// step is one thing that happens. Only the fields that its kind needs are used; numbers are taken modulo what there is.
type step struct {
	Kind     kind
	Workflow int
	Reader   int
	Types    []string        // of the items to commit, or of the subscription to open; nil means all
	Notified []time.Duration // how late each copy of the notification is; none means that it is lost
	From     []origin
	Pace     time.Duration // between two calls of Next
	For      time.Duration
	Items    []int // of the items to erase, or how many to lose
	Settled  bool  // the next step waits until all has been done that takes no time
}

// origin is where a subscription begins in one workflow.
type origin struct {
	Workflow int
	After    int // the number of the item to begin after, taken modulo what there is
	Last     int // negative where After counts
}

type kind string

const (
	commits  kind = "commit"
	touches  kind = "move a head without an item"
	forges   kind = "forge a wake"
	opens    kind = "open or replace a subscription"
	resumes  kind = "close a subscription and resume from its positions"
	adds     kind = "add a workflow to a subscription"
	drops    kind = "drop a workflow from a subscription"
	hangsUp  kind = "lose the listener"
	deafens  kind = "lose the listener until the source is back"
	goesAway kind = "lose the source"
	isBack   kind = "the source is back"
	elapses  kind = "let time pass"
	erases   kind = "erase items"
	eraseAll kind = "erase a workflow"
	goesBack kind = "lose the newest items, with the clock behind"
)

const (
	workflowCount = 4
	readerCount   = 4
)

var kinds = []kind{
	commits, commits, commits, commits, commits, commits, commits, commits,
	touches, forges, opens, opens, opens, resumes, resumes, adds, adds, adds, drops, drops, hangsUp, deafens, goesAway, isBack, isBack,
	elapses, elapses, elapses, elapses, erases, erases, eraseAll, goesBack,
}

func scripts() *rapid.Generator[script] {
	types := rapid.SampledFrom([]string{"message", "log", "stat", "progress"})
	millis := func(most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.OneOf(rapid.Just(0), rapid.IntRange(0, most)), func(ms int) time.Duration {
			return time.Duration(ms) * time.Millisecond
		})
	}
	origins := rapid.Custom(func(t *rapid.T) origin {
		return origin{
			Workflow: rapid.IntRange(0, workflowCount-1).Draw(t, "workflow"),
			After:    rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 50)).Draw(t, "after"),
			Last:     rapid.OneOf(rapid.Just(-1), rapid.IntRange(0, 20)).Draw(t, "last"),
		}
	})
	steps := rapid.Custom(func(t *rapid.T) step {
		s := step{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Settled: rapid.Bool().Draw(t, "settled")}
		switch s.Kind {
		case commits:
			s.Workflow = rapid.IntRange(0, workflowCount-1).Draw(t, "workflow")
			s.Types = rapid.SliceOfN(types, 1, 12).Draw(t, "types")
			s.Notified = rapid.OneOf(
				rapid.Just([]time.Duration{0}), rapid.SliceOfN(millis(8000), 0, 3),
			).Draw(t, "notified")
		case erases, eraseAll, goesBack:
			s.Workflow = rapid.IntRange(0, workflowCount-1).Draw(t, "workflow")
			s.Items = rapid.SliceOfN(rapid.IntRange(0, 50), 1, 5).Draw(t, "items")
			s.Notified = rapid.SliceOfN(millis(8000), 0, 2).Draw(t, "notified")
		case touches, forges:
			s.Workflow = rapid.IntRange(0, workflowCount-1).Draw(t, "workflow")
		case opens:
			s.Reader = rapid.IntRange(0, readerCount-1).Draw(t, "reader")
			s.From = rapid.SliceOfNDistinct(origins, 0, workflowCount, func(o origin) int { return o.Workflow }).Draw(t, "from")
			s.Types = rapid.OneOf(
				rapid.Just([]string(nil)), rapid.SliceOfNDistinct(types, 1, 3, rapid.ID),
			).Draw(t, "types")
			s.Pace = millis(3000).Draw(t, "pace")
		case adds:
			s.Reader = rapid.IntRange(0, readerCount-1).Draw(t, "reader")
			s.From = []origin{origins.Draw(t, "from")}
		case drops:
			s.Reader = rapid.IntRange(0, readerCount-1).Draw(t, "reader")
			s.Workflow = rapid.IntRange(0, workflowCount-1).Draw(t, "workflow")
		case resumes:
			s.Reader = rapid.IntRange(0, readerCount-1).Draw(t, "reader")
		case elapses:
			s.For = millis(20000).Draw(t, "for")
		}
		return s
	})
	return rapid.Custom(func(t *rapid.T) script {
		return script{
			Window: feed.Bounds{
				Items: rapid.IntRange(1, 8).Draw(t, "items"),
				Bytes: rapid.OneOf(rapid.Just(1<<20), rapid.IntRange(1, 80)).Draw(t, "bytes"),
			},
			Sweep:  time.Duration(rapid.IntRange(1, 5).Draw(t, "sweep")) * time.Second,
			Linger: time.Duration(rapid.IntRange(1, 20).Draw(t, "linger")) * time.Second,
			Early:  rapid.SliceOfN(millis(700), 1, 5).Draw(t, "early"),
			Late:   rapid.SliceOfN(millis(700), 1, 5).Draw(t, "late"),
			Fails:  append(rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, "fails"), false, false),
			Steps:  rapid.SliceOfN(steps, 3, 60).Draw(t, "steps"),
		}
	})
}
