package directory

import (
	"cmp"
	"slices"
	"sort"

	"chatfeed/feed"
)

// list is workflows as they were last read, and a log of their changes. It is not safe for concurrent use.
//
// The workflows at or above its depth are all in it, in the order of [feed.Workflow.Active], newest first; below there may be
// some that have changed since. The log has each workflow at most once, at its latest change: whoever has seen everything up to
// a version goes on from there, and what changed twice meanwhile is returned once.
type list struct {
	byID     map[string]*entry
	version  uint64   // of the latest change
	log      []change // by version; superseded ones are skipped, and removed now and then
	dropped  uint64   // changes up to this version may be missing from the log
	depth    feed.Workflow
	complete bool // there is nothing below
	newest   feed.Workflow
}

// entry is a workflow of the list.
type entry struct {
	state   feed.Workflow
	gone    bool   // it is kept only for those who have to be told
	version uint64 // of its latest change; 0 if it has not changed since it was loaded
}

type change struct {
	version uint64
	entry   *entry
}

func newList(version uint64) *list {
	return &list{byID: make(map[string]*entry), version: version, dropped: version}
}

// loaded reports whether anything has been read yet.
func (l *list) loaded() bool { return l.complete || l.depth.Active != 0 }

// before orders by activity, newest first. PostgreSQL may order the ids otherwise.
func before(a, b feed.Workflow) int {
	return cmp.Or(cmp.Compare(b.Active, a.Active), cmp.Compare(b.ID, a.ID))
}

// set records how a workflow is now.
func (l *list) set(w feed.Workflow) {
	e := l.byID[w.ID]
	switch {
	case e == nil:
		e = &entry{}
		l.byID[w.ID] = e
	case !e.gone && e.state == w:
		return
	}
	e.state, e.gone = w, false
	l.note(w)
	l.changed(e)
}

// load records a workflow that nobody has to be told of, because it is below the depth.
func (l *list) load(w feed.Workflow) {
	if l.byID[w.ID] != nil {
		l.set(w)
		return
	}
	l.byID[w.ID] = &entry{state: w}
	l.note(w)
}

// remove records that a workflow does not exist, whether it is in the list or not: someone may have it from elsewhere.
func (l *list) remove(id string) {
	e := l.byID[id]
	switch {
	case e == nil:
		e = &entry{state: feed.Workflow{ID: id, Active: l.newest.Active}}
		l.byID[id] = e
	case e.gone:
		return
	}
	e.gone = true
	l.changed(e)
}

func (l *list) note(w feed.Workflow) {
	l.newest.Active = max(l.newest.Active, w.Active)
	l.newest.Head = max(l.newest.Head, w.Head)
}

func (l *list) changed(e *entry) {
	l.version++
	e.version = l.version
	if len(l.log) > 2*len(l.byID)+64 {
		l.log = slices.DeleteFunc(l.log, change.superseded)
	}
	l.log = append(l.log, change{l.version, e})
}

func (c change) superseded() bool { return c.entry.version != c.version }

// changes returns at most limit workflows that have changed after a version, and up to which version these are all. The caller
// has checked that none are missing.
func (l *list) changes(after uint64, limit int) (changed []entry, upTo uint64) {
	from := sort.Search(len(l.log), func(i int) bool { return l.log[i].version > after })
	for _, c := range l.log[from:] {
		if c.superseded() {
			continue
		}
		if len(changed) == limit {
			return changed, after
		}
		changed = append(changed, *c.entry)
		after = c.version
	}
	return changed, l.version
}

// existing returns all workflows of the list, in no order.
func (l *list) existing() []feed.Workflow {
	all := make([]feed.Workflow, 0, len(l.byID))
	for _, e := range l.byID {
		if !e.gone {
			all = append(all, e.state)
		}
	}
	return all
}

// absent returns the workflows of the list that should have been on a page, which was read after one place and up to another, and were not.
func (l *list) absent(after, upTo feed.Workflow, page []feed.Workflow) []string {
	found := make(map[string]bool, len(page))
	for _, w := range page {
		found[w.ID] = true
	}
	var absent []string
	for id, e := range l.byID {
		if !e.gone && !found[id] && e.state.Active > upTo.Active && (after.Active == 0 || e.state.Active < after.Active) {
			absent = append(absent, id)
		}
	}
	return absent
}

// limit drops the least active workflows if there are many more than so many. Who has not been told of their changes begins anew.
func (l *list) limit(most int) {
	if len(l.byID) <= most+most/10 {
		return
	}
	all := make([]*entry, 0, len(l.byID))
	for _, e := range l.byID {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return before(a.state, b.state) })
	for _, e := range all[most:] {
		delete(l.byID, e.state.ID)
		l.dropped = max(l.dropped, e.version)
		e.version = 0 // so that it is superseded in the log
	}
	if last := all[most-1].state; last.Active > l.depth.Active || l.complete {
		l.depth, l.complete = last, false
	}
}
