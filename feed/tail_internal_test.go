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
	for name, c := range map[string]struct{ page, size, offers int }{
		"item by item":                     {page: 1, size: 10, offers: 256},
		"by pages":                         {page: 100, size: 10, offers: 256},
		"by whole windows":                 {page: 256, size: 10, offers: 256},
		"few that are large, item by item": {page: 1, size: 100 << 10, offers: 10},
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
					item := &Item{CreatedAt: Cursor(n), Body: make([]byte, c.size)}
					made, page = append(made, weak.Make(item)), append(page, item)
				}
				kept.append(page, bound)
				if n < bound.Items || n%40 >= c.page {
					continue
				}
				clear(page)
				runtime.GC()
				alive := 0
				for _, item := range made {
					if item.Value() != nil {
						alive++
					}
				}
				require.Len(t, kept.items, c.offers)
				require.GreaterOrEqual(t, alive, c.offers)
				require.LessOrEqual(t, alive, c.offers+c.offers/slack)
			}
		})
	}
}
