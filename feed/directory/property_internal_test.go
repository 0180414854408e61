package directory

import (
	"cmp"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// action is a step of a script.
type action struct {
	Kind     string
	Workflow int
	Client   int
	Size     int
	Part     bool // of the workflows, the client may read those with even numbers only
	For      time.Duration
}

func actions(loses bool) *rapid.Generator[[]action] {
	kinds := []string{"write", "write", "write", "erase some", "erase all", "watch", "watch", "leave", "read", "read", "pause", "away", "back"}
	if loses {
		kinds = append(kinds, "deaf", "hearing", "cut")
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) action {
		return action{
			Kind:     rapid.SampledFrom(kinds).Draw(t, "kind"),
			Workflow: rapid.IntRange(0, 39).Draw(t, "workflow"),
			Client:   rapid.IntRange(0, 2).Draw(t, "client"),
			Size:     rapid.IntRange(1, 25).Draw(t, "size"),
			Part:     rapid.Bool().Draw(t, "part"),
			For: rapid.SampledFrom([]time.Duration{
				time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second, 2 * time.Minute,
			}).Draw(t, "for"),
		}
	}), 1, 120)
}

// Whatever happens to the table, to wakes and to reads, and however slowly a client reads: in the end, each workflow that it
// has been told of is as in the table, and it has been told of all that have changed since its list began. The table may have more
// workflows than are held, if no wakes are lost: of those that are not held, only wakes tell.
func TestEveryClientEndsWithTheWorkflowsAsTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		held := rapid.SampledFrom([]int{8, 100}).Draw(rt, "held")
		script := actions(held == 100).Draw(rt, "script")
		delays := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, 100 * time.Millisecond, 2 * time.Second}), 1, 9).Draw(rt, "delays")
		s := sizes{
			page: rapid.IntRange(2, 9).Draw(rt, "page"), recent: rapid.IntRange(2, 5).Draw(rt, "recent"),
			named: rapid.IntRange(1, 5).Draw(rt, "named"), held: held, frame: rapid.IntRange(1, 5).Draw(rt, "frame"),
		}
		var fault string
		synctest.Test(t, func(t *testing.T) { fault = play(t, script, delays, s) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// follower is a client that reads when it is told to.
type follower struct {
	*client
	part  bool
	began int // the table's changes when the list has begun
	fault string
}

func play(t *testing.T, script []action, delays []time.Duration, s sizes) string {
	t.Helper()
	tab := newTable()
	var reads atomic.Int64
	var noDelays atomic.Bool
	tab.delay = func() time.Duration {
		if noDelays.Load() {
			return 0
		}
		return delays[int(reads.Add(1))%len(delays)]
	}
	d := tab.run(t, s, Config{Sweep: time.Second})
	var followers [3]*follower
	for _, a := range script {
		f := followers[a.Client]
		switch id := fmt.Sprintf("w%02d", a.Workflow); a.Kind {
		case "write":
			tab.write(id, "")
		case "erase some":
			tab.erase(id, false)
		case "erase all":
			tab.erase(id, true)
		case "watch":
			if f == nil {
				f = &follower{part: a.Part}
				options := Options{Size: a.Size, Idle: 2 * pace}
				if f.part {
					options.Readable = even
				}
				f.client = watch(t, d, options)
				followers[a.Client] = f
			}
		case "leave":
			if f != nil {
				f.Close()
				followers[a.Client] = nil
			}
		case "read":
			if f != nil {
				f.read(t, tab)
			}
		case "pause":
			pass(t.Context(), a.For)
		case "away":
			tab.set(func() { tab.away = true })
		case "back":
			tab.set(func() { tab.away = false })
		case "deaf":
			tab.set(func() { tab.deaf = true })
		case "hearing":
			tab.set(func() { tab.deaf = false })
		case "cut":
			tab.listenAgain()
		}
	}
	noDelays.Store(true)
	tab.set(func() { tab.away = false })
	elapse(5 * time.Minute)
	for i, f := range followers {
		if f == nil {
			continue
		}
		for quiet := 0; quiet < 3; quiet++ {
			if f.read(t, tab) {
				quiet = 0
			}
		}
		if fault := cmp.Or(f.fault, f.missing(tab)); fault != "" {
			return fmt.Sprintf("client %d: %s", i, fault)
		}
		f.Close()
	}
	return ""
}

func even(id string) bool { return (id[2]-'0')%2 == 0 }

// listenAgain ends the listener, which comes back.
func (t *table) listenAgain() {
	t.set(func() {
		if t.cut != nil {
			t.cut()
		}
	})
}

// read takes an update, and reports whether it had anything in it.
func (f *follower) read(t *testing.T, tab *table) bool {
	t.Helper()
	u := f.next(t)
	if u.Anew {
		tab.set(func() { f.began = tab.changes })
	}
	for _, id := range u.Gone {
		if f.part && !even(id) {
			f.fault = id + " is hidden, and was told to be gone"
		}
	}
	return u.Anew || len(u.Gone)+len(u.Workflows) > 0
}

// missing compares what the client has with the table.
func (f *follower) missing(tab *table) string {
	if !f.upToDate {
		return "it is not up to date"
	}
	for id, w := range f.list {
		switch now, ok := tab.rows[id]; {
		case f.part && !even(id):
			return id + " is hidden"
		case !ok:
			return id + " does not exist"
		case now != w:
			return fmt.Sprintf("%+v, but it is %+v", w, now)
		}
	}
	for id, change := range tab.written {
		if _, ok := f.list[id]; !ok && change > f.began && (!f.part || even(id)) {
			return id + " is missing"
		}
	}
	return ""
}
