package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// now numbers something that begins.
func (f *Feed) now() tick { return tick(f.ticks.Add(1)) }

// glances notes how topics are before they are compared.
func (f *Feed) glances(topics []*topic) []glance {
	glances := make([]glance, len(topics))
	began := f.now()
	for i, t := range topics {
		glances[i] = t.glance(began)
	}
	return glances
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
		f.apart.latency.Store(int64(time.Since(began)))
	}
	return heads, err
}

// compare compares topics with their heads: those that somebody has joined, and those of which items were erased.
func (f *Feed) compare(ctx context.Context, topics []*topic, _ int) (heavy []*topic, err error) {
	glances := f.glances(topics)
	heads, err := f.heads(ctx, topics)
	if err != nil {
		return nil, err
	}
	for i, t := range topics {
		head, exists := heads[t.workflowID]
		f.obey(t, t.compare(glances[i], head, exists, true, f.clock()))
	}
	return nil, nil
}

// grow reads what comes after the tails of topics.
func (f *Feed) grow(ctx context.Context, topics []*topic, halvings int) (heavy []*topic, err error) {
	began := f.now()
	var behind []*topic
	var glances []glance
	var from []Position
	for _, t := range topics {
		if g, stale := t.beginGrow(began); stale {
			behind, glances = append(behind, t), append(glances, g)
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
		glances[i].at = answered
		if t.grow(glances[i], pages[i], f.window) {
			f.enqueue(t)
		}
		if pages[i].size() >= window.Bytes {
			heavy = append(heavy, t)
		}
	}
	return heavy, nil
}

// loadable says which topics one query can load. Those that had a tail before may have erasures to read, each with a query
// of its own, or may have to find out what the source has lost; who loads a topic for the first time does not wait for them.
func loadable(a, b *topic) bool { return a.isReload() == b.isReload() }

// load reads the newest items of topics. Their heads are read first: so the items are at least as new as the marks of the
// erasures.
func (f *Feed) load(ctx context.Context, topics []*topic, halvings int) (heavy []*topic, err error) {
	began := f.now()
	var fresh []*topic
	var glances []glance
	var from []Position
	for _, t := range topics {
		if g, ok := t.beginLoad(began); ok {
			fresh, glances = append(fresh, t), append(glances, g)
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
		if err := f.reconcile(ctx, t, glances[i], head, exists, window); err != nil {
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
		glances[i].at = answered
		redo, compare, behind := t.load(glances[i], head, exists, pages[i], f.window)
		if redo || behind {
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

// reconcile tells the followers of a topic that is loaded again what has become of the items that it had.
func (f *Feed) reconcile(ctx context.Context, t *topic, g glance, head Head, exists bool, window Window) error {
	erased, mark, before := t.meet(head, exists, f.clock())
	if erased {
		told, err := f.readErased(ctx, t, mark)
		if err != nil {
			return err
		}
		if !told {
			t.startOver(f.clock())
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
		f.log.WarnContext(ctx, "the source has lost items; followers go back",
			"workflow", t.workflowID, "from", before.read, "to", agreed.to)
	}
	if !agreed.found && before.floor > 0 && (agreed.lost || !erased) {
		t.startOver(f.clock()) // nothing says how much is lost
		return nil
	}
	t.goBack(g, agreed.to, f.clock())
	return nil
}

// readErased reads the items that were erased after a mark, and tells the followers. It reports false where the source no
// longer knows which they were.
func (f *Feed) readErased(ctx context.Context, t *topic, mark int64) (told bool, err error) {
	for {
		gone, err := f.source.Erased(ctx, t.workflowID, mark, newsKept)
		if err != nil {
			return told, fmt.Errorf("read erased items: %w", err)
		}
		if len(gone) == 0 {
			return told, nil
		}
		newest := gone[len(gone)-1].Mark
		if newest <= mark {
			return told, errors.New("read erased items: the source gives marks that it was to leave out")
		}
		t.tellGone(gone, f.clock())
		told, mark = true, newest
		if len(gone) < newsKept {
			return told, nil
		}
	}
}
