package directory

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func ids(workflows []feed.Workflow) (ids []string) {
	for _, w := range workflows {
		ids = append(ids, w.ID)
	}
	return ids
}

func TestAChangeComesWithinAQuarterOfASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.write("a", "1")
		d := tab.run(t, usual(), Config{})
		c := watch(t, d, Options{Size: 10})
		c.until(t, tab)
		for i := range 10 {
			elapse(time.Duration(i) * 70 * time.Millisecond)
			began := time.Now()
			tab.write(fmt.Sprint("new", i), "x")
			tab.write("a", fmt.Sprint("again", i))
			u := c.next(t)
			require.ElementsMatch(t, []string{"a", fmt.Sprint("new", i)}, ids(u.Workflows))
			require.True(t, u.UpToDate)
			require.LessOrEqual(t, time.Since(began), pace)
		}
		began := time.Now()
		tab.erase("a", true)
		require.Equal(t, []string{"a"}, c.next(t).Gone)
		require.LessOrEqual(t, time.Since(began), pace)
		c.until(t, tab)
	})
}

// However much changes and however many watch, the reads are as many, and an update has each workflow once.
func TestReadsGrowNeitherWithChangesNorWithWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := tab.run(t, usual(), Config{})
		for i := range 1000 {
			tab.write(fmt.Sprint("w", i), "")
		}
		elapse(time.Minute)
		require.Zero(t, tab.reads, "while nobody watches")

		var clients []*client
		for range 200 {
			clients = append(clients, watch(t, d, Options{Size: 1000}))
		}
		for _, c := range clients {
			c.until(t, tab)
		}
		elapse(time.Second)
		tab.reads = 0
		for i := range 1000 {
			for n := range 5 {
				tab.write(fmt.Sprint("w", (i*7+n*130)%1000), fmt.Sprint(i))
			}
			pass(t.Context(), 10*time.Millisecond)
		}
		elapse(time.Second)
		const rounds, sweeps = 10 * 4, 2
		require.LessOrEqual(t, tab.reads, rounds+4*sweeps+4)
		require.Greater(t, tab.reads, rounds/2)
		for _, c := range clients[:20] {
			before := len(c.updates)
			c.until(t, tab)
			require.Equal(t, before+1, len(c.updates), "a slow client has one update")
		}
		c := clients[0]
		for i := range 1000 {
			tab.write(fmt.Sprint("w", i%3), fmt.Sprint("now", i))
			pass(t.Context(), 10*time.Millisecond)
			if i%20 == 0 { // the others do not read at all
				c.next(t)
			}
		}
		for i := 5; i < len(c.at); i++ {
			require.GreaterOrEqual(t, c.at[i].Sub(c.at[i-5]), 3*pace, "at most four updates a second")
		}
		for _, c := range clients {
			c.Close()
		}
		elapse(time.Second)
		require.Zero(t, len(d.list.byID))
		tab.reads = 0
		tab.write("w1", "")
		elapse(time.Minute)
		require.Zero(t, tab.reads, "when nobody watches any more")
	})
}

func TestTheSweepFindsWhatWakesHaveMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		for i := range 60 {
			tab.write(fmt.Sprint("w", i), "")
			pass(t.Context(), time.Minute)
		}
		small := sizes{page: 7, recent: 3, named: 4, held: 1000, frame: 5}
		d := tab.run(t, small, Config{Sweep: 2 * time.Second})
		c := watch(t, d, Options{Size: 60})
		c.until(t, tab)
		tab.set(func() { tab.deaf = true })
		tab.write("w3", "again")
		tab.write("new", "")
		began := time.Now()
		c.until(t, tab)
		require.LessOrEqual(t, time.Since(began), 2*time.Second+pace)

		// An erasure is found by comparing everything, page after page.
		tab.erase("w20", false)
		tab.erase("w30", true)
		began = time.Now()
		c.until(t, tab)
		require.LessOrEqual(t, time.Since(began), 12*2*time.Second)

		// A listener that is back finds everything at once.
		tab.write("w1", "missed")
		tab.erase("w25", true)
		tab.set(func() { tab.deaf = false; tab.cut() })
		began = time.Now()
		c.until(t, tab)
		require.LessOrEqual(t, time.Since(began), time.Second)
	})
}

// A watch whose list reaches less far down than what it was told of afterwards is told when that changes again, also by the sweep.
func TestTheSweepComparesWhatHasChangedBelowTheHeldPartOfTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		for i := range 60 {
			tab.write(fmt.Sprint("w", i), "")
			pass(t.Context(), time.Minute)
		}
		d := tab.run(t, sizes{page: 7, recent: 3, named: 4, held: 1000, frame: 5}, Config{Sweep: 2 * time.Second})
		c := watch(t, d, Options{Size: 5})
		for !c.upToDate {
			c.next(t)
		}
		tab.erase("w2", false)
		require.Equal(t, "erased", c.next(t).Workflows[0].Status)

		// Who begins now is not given it: those between are not held.
		other := watch(t, d, Options{Size: 7})
		u := other.next(t)
		require.Equal(t, []string{"w59", "w58", "w57", "w56", "w55", "w54", "w53"}, ids(u.Workflows))
		require.Equal(t, tab.rows["w53"].Active+1, u.Next.Active)

		tab.set(func() { tab.deaf = true })
		tab.erase("w2", true)
		require.Equal(t, []string{"w2"}, c.next(t).Gone)
		for len(u.Gone) == 0 {
			u = other.next(t)
		}
		require.Equal(t, []string{"w2"}, u.Gone)
	})
}

func TestWatchesAreToldWhenTheTableIsAwayAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		var log bytes.Buffer
		d := tab.run(t, usual(), Config{Sweep: 2 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
		tab.write("a", "1")
		c := watch(t, d, Options{Size: 10})
		c.until(t, tab)

		tab.set(func() { tab.away = true; tab.cut() })
		began := time.Now()
		u := c.next(t)
		require.Equal(t, Update{}, u, "it is no longer up to date")
		require.InDelta(t, (4 * time.Second).Seconds(), time.Since(began).Seconds(), 2)
		late := watch(t, d, Options{Size: 10})
		u = late.next(t)
		require.True(t, u.Anew)
		require.False(t, u.UpToDate)
		require.Equal(t, Update{}, late.next(t), "and is told once that this is for longer")

		tab.write("a", "2")
		tab.write("b", "1")
		tab.set(func() { tab.away = false })
		began = time.Now()
		c.until(t, tab)
		late.until(t, tab)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		require.Equal(t, 1, strings.Count(log.String(), "retrying"), log.String())
	})
}

func TestAWatchThatBeginsWhileTheTableIsAwayWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.write("a", "1")
		tab.away = true
		d := tab.run(t, usual(), Config{})
		c := watch(t, d, Options{Size: 10, Idle: 3 * time.Second})
		require.Equal(t, Update{}, c.next(t), "the table is away")
		began := time.Now()
		require.Equal(t, Update{}, c.next(t), "a sign of life")
		require.Equal(t, 3*time.Second, time.Since(began))
		tab.set(func() { tab.away = false })
		u := c.next(t)
		require.True(t, u.Anew)
		require.True(t, u.UpToDate)
		require.Equal(t, []string{"a"}, ids(u.Workflows))
	})
}

func TestAHiddenWorkflowLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := tab.run(t, sizes{page: 10, recent: 5, named: 8, held: 500, frame: 3}, Config{Sweep: time.Second})
		for i := range 20 {
			tab.write(fmt.Sprint("seen", i), "")
			tab.write(fmt.Sprint("hidden", i), "")
		}
		c := watch(t, d, Options{Size: 15, Readable: func(id string) bool { return strings.HasPrefix(id, "seen") }})
		for !c.upToDate {
			c.next(t)
		}
		require.NotZero(t, c.updates[0].Next.Active)
		require.NotContains(t, c.updates[0].Next.ID, "hidden")
		n := len(c.updates)
		for i := range 100 {
			tab.write(fmt.Sprint("hidden", i%30), "x")
			tab.erase(fmt.Sprint("hidden", i%7), i%2 == 0)
			pass(t.Context(), 100*time.Millisecond)
		}
		began := time.Now()
		require.Equal(t, Update{UpToDate: true}, c.next(t))
		require.Equal(t, time.Hour, time.Since(began), "nothing but a sign of life")
		require.Len(t, c.updates, n+1)
	})
}

func TestAWatchEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := tab.run(t, usual(), Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		w := d.Watch(ctx, Options{Size: 1})
		defer w.Close()
		_, err := w.Next()
		require.NoError(t, err)
		cancel(errAway)
		_, err = w.Next()
		require.ErrorIs(t, err, errAway)

		w = d.Watch(t.Context(), Options{Size: 1})
		defer w.Close()
		d.Drain()
		_, err = w.Next()
		require.ErrorIs(t, err, feed.ErrDraining)
		require.ErrorContains(t, d.Run(t.Context()), "Run was called before")
	})
	_, err := New(newTable(), Config{Sweep: -1})
	require.ErrorContains(t, err, "Config.Sweep is -1ns; it must be positive")
}

// A watch is up to date on the strength of a read that began after it.
func TestAWatchIsUpToDateOnlyAfterALaterRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.write("a", "")
		d := tab.run(t, usual(), Config{Sweep: time.Hour})
		watch(t, d, Options{Size: 10}).until(t, tab)
		elapse(time.Second)
		tab.delay = func() time.Duration { return time.Second }
		c := watch(t, d, Options{Size: 10})
		u := c.next(t)
		require.True(t, u.Anew)
		require.False(t, u.UpToDate)
		began := time.Now()
		require.Equal(t, Update{UpToDate: true}, c.next(t))
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

// Which of the workflows of one time come first is PostgreSQL's to say, so the place where the list goes on is before all of them.
func TestAPageThatEndsAmongWorkflowsOfOneTimeGoesOnBeforeThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		for i := range 5 {
			tab.rows[fmt.Sprint("w", i)] = feed.Workflow{ID: fmt.Sprint("w", i), Active: feed.Cursor(1000 - i/2), Head: 1000}
		}
		d := tab.run(t, usual(), Config{})
		require.Equal(t, feed.Workflow{Active: 1001}, watch(t, d, Options{Size: 1}).next(t).Next)
		require.Equal(t, feed.Workflow{Active: 1000, ID: "w0"}, watch(t, d, Options{Size: 2}).next(t).Next)
		require.Equal(t, feed.Workflow{Active: 1000}, watch(t, d, Options{Size: 3}).next(t).Next)
		require.Zero(t, watch(t, d, Options{Size: 5}).next(t).Next)
	})
}
