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
	most     int // workflows, roughly
	byID     map[string]*entry
	version  uint64   // of the latest change
	log      []change // by version; superseded ones are skipped, and removed now and then
	dropped  uint64   // changes up to this version may be missing from the log
	depth    feed.Workflow
	complete bool // there is nothing below
	newest   feed.Workflow
	cached   *snapshot // what snapshot has returned, until something changes
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

// snapshot is the list at one time, for the watches that begin. It is shared and never changes.
type snapshot struct {
	workflows []feed.Workflow // without gaps: down to the depth, in order
	depth     feed.Workflow   // zero if nothing is below
	version   uint64
	full      bool // no more are going to be held
}

func newList(version uint64, most int) *list {
	return &list{most: most, byID: make(map[string]*entry), version: version, dropped: version}
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

// load records a workflow that nobody has to be told of, because it is below the depth, which is then extended.
func (l *list) load(w feed.Workflow) {
	if l.byID[w.ID] != nil {
		l.set(w)
		return
	}
	l.byID[w.ID] = &entry{state: w}
	l.note(w)
}

// extend records that everything down to a new depth is held.
func (l *list) extend(depth feed.Workflow, complete bool) {
	l.depth, l.complete, l.cached = depth, complete, nil
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
	l.cached = nil
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

// snapshot returns the list as it is. It costs nothing until the next change.
func (l *list) snapshot() *snapshot {
	if l.cached != nil {
		return l.cached
	}
	s := &snapshot{version: l.version, full: l.complete || len(l.byID) >= l.most}
	if !l.complete {
		s.depth = l.depth
	}
	for _, e := range l.byID {
		if !e.gone && e.state.Active >= s.depth.Active {
			s.workflows = append(s.workflows, e.state)
		}
	}
	slices.SortFunc(s.workflows, before)
	l.cached = s
	return s
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

// below returns the workflows of the list below its depth.
func (l *list) below() []string {
	var ids []string
	for id, e := range l.byID {
		if !e.gone && !l.complete && e.state.Active < l.depth.Active {
			ids = append(ids, id)
		}
	}
	return ids
}

// limit drops those that are gone and then the least active workflows if there are many more than there should be. Who has not
// been told of their changes begins anew.
func (l *list) limit() {
	if len(l.byID) <= l.most+l.most/10 {
		return
	}
	kept := make([]*entry, 0, len(l.byID))
	for _, e := range l.byID {
		if e.gone {
			l.drop(e)
		} else {
			kept = append(kept, e)
		}
	}
	if len(kept) <= l.most {
		return
	}
	slices.SortFunc(kept, func(a, b *entry) int { return before(a.state, b.state) })
	for _, e := range kept[l.most:] {
		l.drop(e)
	}
	if last := kept[l.most-1].state; last.Active > l.depth.Active || l.complete {
		l.extend(last, false)
	}
}

// restart makes everyone begin anew.
func (l *list) restart() {
	l.version++
	l.dropped, l.cached = l.version, nil
}

func (l *list) drop(e *entry) {
	delete(l.byID, e.state.ID)
	l.dropped = max(l.dropped, e.version)
	e.version = 0 // so that it is superseded in the log
	l.cached = nil
}
