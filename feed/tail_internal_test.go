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
	constant := func(size int) func(int) int { return func(int) int { return size } }
	for name, c := range map[string]struct {
		page int
		size func(n int) int
	}{
		"item by item":                 {1, constant(10)},
		"by pages":                     {100, constant(10)},
		"by whole windows":             {256, constant(10)},
		"items without a body":         {1, constant(0)},
		"few that are large":           {1, constant(100 << 10)},
		"small ones after large ones":  {1, func(n int) int { return max(10, 4000*(300-n)/300) }},
		"now and then one that is big": {1, func(n int) int { return 10 + n%5/4*10000 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bound := Window{Items: 256, Bytes: 1 << 20}
			var kept tail
			var made []weak.Pointer[Item]
			for n := 0; n < 1100; {
				var page []*Item
				for range c.page {
					n++
					item := &Item{CreatedAt: Cursor(n), Body: make([]byte, c.size(n))}
					made, page = append(made, weak.Make(item)), append(page, item)
				}
				kept.append(page, bound)
				if n < bound.Items || n%40 >= c.page && n != 300 {
					continue
				}
				clear(page)
				runtime.GC()
				alive, bytes := 0, 0
				for _, item := range made {
					if item := item.Value(); item != nil {
						alive++
						bytes += item.Size()
					}
				}
				offers := len(kept.items)
				require.LessOrEqual(t, offers, bound.Items)
				require.GreaterOrEqual(t, alive, offers)
				require.LessOrEqual(t, alive, offers+offers/slack)
				require.LessOrEqual(t, bytes, kept.bytes+kept.bytes/slack)
			}
		})
	}
}
