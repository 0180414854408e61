package directory

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What is held is bounded, and who is too slow to be told of all changes begins anew.
func TestTheListIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := tab.run(t, sizes{page: 10, recent: 5, named: 8, held: 50, frame: 10}, Config{})
		tab.write("first", "")
		quick, slow := watch(t, d, Options{Size: 20}), watch(t, d, Options{Size: 20})
		quick.until(t, tab)
		slow.until(t, tab)
		for i := range 300 {
			id := fmt.Sprint("w", i)
			tab.write(id, "")
			quick.next(t)
			if i%3 == 0 {
				tab.erase(id, true)
				quick.next(t)
			}
			d.mu.Lock()
			require.LessOrEqual(t, len(d.list.byID), 55)
			require.LessOrEqual(t, len(d.list.log), 2*55+65)
			d.mu.Unlock()
		}
		quick.until(t, tab)
		for _, u := range quick.updates[1:] {
			require.False(t, u.Anew)
		}
		u := slow.next(t)
		require.True(t, u.Anew)
		require.Len(t, u.Workflows, 20)
		require.Equal(t, "w299", u.Workflows[0].ID)
		require.Equal(t, u.Workflows[19].ID, u.Next.ID)

		// A list that is full is not read on for a client that may read little of it.
		poor := watch(t, d, Options{Size: 20, Readable: func(id string) bool { return id == "w298" }})
		tab.reads = 0
		require.Equal(t, []string{"w298"}, ids(poor.next(t).Workflows))
		elapse(time.Second)
		require.LessOrEqual(t, tab.reads, 20)
	})
}

// Erased workflows are kept for those who have to be told, but not for ever, nor instead of others, and nothing is read for them.
func TestErasedWorkflowsDoNotFillTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		for i := range 100 {
			tab.write(fmt.Sprint("old", i), "")
		}
		d := tab.run(t, sizes{page: 10, recent: 5, named: 8, held: 50, frame: 10}, Config{})
		c := watch(t, d, Options{Size: 40})
		c.next(t)
		for i := range 80 {
			tab.write(fmt.Sprint("w", i), "")
			c.next(t)
			tab.erase(fmt.Sprint("w", i), true)
			c.next(t)
		}
		require.Len(t, c.list, 40)
		require.Len(t, watch(t, d, Options{Size: 40}).next(t).Workflows, 40)
		late := watch(t, d, Options{Size: 40, Readable: func(id string) bool { return id == "nothing" }})
		tab.reads = 0
		require.Empty(t, late.next(t).Workflows)
		elapse(4 * time.Second)
		require.LessOrEqual(t, tab.reads, 30, "reading does not go on and on")
	})
}

// If more has changed at once than can be noted, it is not known what a client has missed.
func TestMoreChangesAtOnceThanAreHeldBeginTheListAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := tab.run(t, sizes{page: 10, recent: 5, named: 8, held: 20, frame: 10}, Config{})
		tab.write("old", "")
		c := watch(t, d, Options{Size: 10})
		c.until(t, tab)
		for i := range 40 {
			tab.write(fmt.Sprint("w", i), "")
			c.next(t)
		}
		c.until(t, tab)
		for i := range 30 {
			tab.erase(fmt.Sprint("w", i), true)
		}
		tab.erase("old", true)
		u := c.next(t)
		require.True(t, u.Anew)
		require.Len(t, u.Workflows, 10)
		require.NotContains(t, c.list, "old")
	})
}

// A client that comes and goes does not make the directory read more often.
func TestWhoComesAndGoesDoesNotMakeMoreReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.write("a", "")
		d := tab.run(t, usual(), Config{})
		for range 1000 {
			c := watch(t, d, Options{Size: 10})
			synctest.Wait()
			c.Close()
			pass(t.Context(), 10*time.Millisecond)
		}
		require.LessOrEqual(t, tab.reads, 10*4+1)
	})
}
