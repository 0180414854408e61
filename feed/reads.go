package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// now returns the next tick.
func (f *Feed) now() tick { return tick(f.ticks.Add(1)) }

// snapshots records the state of topics before a comparison.
func (f *Feed) snapshots(topics []*topic) []snapshot {
	snapshots := make([]snapshot, len(topics))
	began := f.now()
	for i, t := range topics {
		snapshots[i] = t.snapshot(began)
	}
	return snapshots
}

func (f *Feed) heads(ctx context.Context, topics []*topic) (map[string]Head, error) {
	ids := make([]string, len(topics))
	for i, t := range topics {
		ids[i] = t.workflowID
	}
	f.stats.sweeps.Add(1)
	began := time.Now()
	heads, err := f.source.Heads(ctx, ids)
	if err == nil {
		f.isolation.latency.Store(int64(time.Since(began)))
	}
	return heads, err
}

// compare compares topics with their heads: topics that were joined, and topics with erased items.
func (f *Feed) compare(ctx context.Context, topics []*topic, _ int) (heavy []*topic, err error) {
	snapshots := f.snapshots(topics)
	heads, err := f.heads(ctx, topics)
	if err != nil {
		return nil, err
	}
	for i, t := range topics {
		head, exists := heads[t.workflowID]
		f.apply(t, t.compare(snapshots[i], head, exists, true, f.clock()))
	}
	return nil, nil
}

// grow reads the items after the tails of topics.
func (f *Feed) grow(ctx context.Context, topics []*topic, halvings int) (heavy []*topic, err error) {
	began := f.now()
	var behind []*topic
	var snapshots []snapshot
	var from []Position
	for _, t := range topics {
		if g, stale := t.beginGrow(began); stale {
			behind, snapshots = append(behind, t), append(snapshots, g)
			from = append(from, Position{t.workflowID, g.tail.read})
		}
	}
	if len(behind) == 0 {
		return nil, errNothing
	}
	window := f.window
	window.Items = max(1, window.Items>>halvings)
	f.stats.topicReads.Add(1)
	pages, err := f.source.After(ctx, from, window)
	if err != nil {
		for _, t := range behind {
			t.failed()
		}
		return nil, err
	}
	answered := f.clock()
	for i, t := range behind {
		snapshots[i].at = answered
		if t.grow(snapshots[i], pages[i], f.window) {
			f.enqueue(t)
		}
		if pages[i].size() >= window.Bytes {
			heavy = append(heavy, t)
		}
	}
	return heavy, nil
}

// loadable reports whether one query may load both topics. Topics that had a tail before may need further queries, for
// erasures or to find out what the source has lost; a topic that is loaded for the first time does not wait for them.
func loadable(a, b *topic) bool { return a.isReload() == b.isReload() }

// load reads the newest items of topics. Their heads are read first, so the items are at least as new as the erasure
// marks.
func (f *Feed) load(ctx context.Context, topics []*topic, halvings int) (heavy []*topic, err error) {
	began := f.now()
	var fresh []*topic
	var snapshots []snapshot
	var from []Position
	for _, t := range topics {
		if g, ok := t.beginLoad(began); ok {
			fresh, snapshots = append(fresh, t), append(snapshots, g)
			from = append(from, Position{t.workflowID, End})
		}
	}
	if len(fresh) == 0 {
		return nil, errNothing
	}
	heads, err := f.heads(ctx, fresh)
	if err != nil {
		return nil, err
	}
	window := f.window
	window.Items = max(1, window.Items>>halvings)
	for i, t := range fresh {
		head, exists := heads[t.workflowID]
		if err := f.reconcile(ctx, t, snapshots[i], head, exists, window); err != nil {
			return nil, err
		}
	}
	window.Items = max(1, min(f.window.Items, firstLoad)>>halvings)
	f.stats.topicReads.Add(1)
	pages, err := f.source.Before(ctx, from, window)
	if err != nil {
		return nil, err
	}
	answered := f.clock()
	for i, t := range fresh {
		head, exists := heads[t.workflowID]
		snapshots[i].at = answered
		retry, compare, behind := t.load(snapshots[i], head, exists, pages[i], f.window)
		if retry || behind {
			f.enqueue(t)
		}
		if compare {
			f.compares.put(t)
		}
		if pages[i].size() >= window.Bytes {
			heavy = append(heavy, t)
		}
	}
	return heavy, nil
}

// reconcile notifies the followers of a topic that is loaded again of erased and lost items.
func (f *Feed) reconcile(ctx context.Context, t *topic, g snapshot, head Head, exists bool, window Window) error {
	erased, mark, before := t.compareReload(head, exists, f.clock())
	if erased {
		known, err := f.readErased(ctx, t, mark)
		if err != nil {
			return err
		}
		if !known {
			t.reset(f.clock())
			return nil
		}
	}
	if before == nil {
		return nil
	}
	agreed := newAgreement(before)
	for more := true; more; {
		pages, err := f.source.After(ctx, []Position{{t.workflowID, agreed.read}}, window)
		if err != nil {
			return fmt.Errorf("read what the source has kept: %w", err)
		}
		more = agreed.add(pages[0])
	}
	if agreed.lost || !erased && agreed.to < before.read {
		f.stats.rewound.Add(1)
		f.log.WarnContext(ctx, "the source has lost items; the followers' positions go back",
			"workflow", t.workflowID, "from", before.read, "to", agreed.to)
	}
	if !agreed.found && before.floor > 0 && (agreed.lost || !erased) {
		t.reset(f.clock()) // it is unknown how much is lost
		return nil
	}
	t.rewind(g, agreed.to, f.clock())
	return nil
}

// readErased reads the items that were erased after a mark, and notifies the followers. It reports false if the source no
// longer knows them.
func (f *Feed) readErased(ctx context.Context, t *topic, mark int64) (known bool, err error) {
	for {
		gone, err := f.source.Erased(ctx, t.workflowID, mark, maxNews)
		if err != nil {
			return known, fmt.Errorf("read erased items: %w", err)
		}
		if len(gone) == 0 {
			return known, nil
		}
		newest := gone[len(gone)-1].Mark
		if newest <= mark {
			return known, errors.New("read erased items: the source returned a mark that is not after the requested one")
		}
		t.reportGone(gone, f.clock())
		known, mark = true, newest
		if len(gone) < maxNews {
			return known, nil
		}
	}
}
