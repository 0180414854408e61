package feed

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"
)

// Whoever holds a part of an array holds all of it, so a tail that only moves along its array would hold what it has let go.
func TestATailHoldsLittleMoreInMemoryThanItOffers(t *testing.T) {
	t.Parallel()
	bound := Window{Items: 256, Bytes: 1 << 20}
	var kept tail
	var made []weak.Pointer[Item]
	for n := range 1000 {
		item := &Item{CreatedAt: Cursor(n + 1)}
		made = append(made, weak.Make(item))
		kept.append([]*Item{item}, bound)
		if n < bound.Items || n%40 != 0 {
			continue
		}
		runtime.GC()
		alive := 0
		for _, item := range made {
			if item.Value() != nil {
				alive++
			}
		}
		require.Len(t, kept.items, bound.Items)
		require.GreaterOrEqual(t, alive, bound.Items)
		require.LessOrEqual(t, alive, bound.Items*5/4+1)
	}
}
