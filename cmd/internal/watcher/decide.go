package watcher

import "chatfeed/db"

// What items say to people.
const (
	stalledText = "The workflow is running, but its worker does not go on with it."
	unknownText = "Temporal does not answer; what the workflow does is not known until it does."
)

// decide returns the item that a workflow lacks, given what Temporal says of a run, what the workflow has answered to the query (nil
// if it has not), and its items. It reports false if there is nothing to say: not what has been said, and not what the
// workflow has said itself.
func decide(e Execution, answered *answer, p *past) (db.Progress, bool) {
	switch {
	case p.final, e.Status == ContinuedAsNew:
		return db.Progress{}, false
	case e.Status.ended():
		return end(e, p)
	}
	latest, itself := p.latest(), p.recordsItself(e)
	switch {
	case e.isStalled() || answered != nil && answered.overdue && !itself:
		if latest.note == (note{e.RunID, string(stalled)}) {
			return db.Progress{}, false
		}
		return p.say(e, string(stalled), p.before().progress, string(stalled), stalledText), true
	case answered != nil && !itself:
		if latest.note.isLive() && !latest.isOlder(e) && latest.progress == answered.progress && latest.status == answered.status {
			return db.Progress{}, false
		}
		return p.say(e, progress, answered.progress, answered.status, ""), true
	case latest.isOlder(e), Status(latest.note.what).ended(): // a new run, perhaps by a reset of one that had ended
		return p.say(e, started, 0, string(Running), ""), true
	case latest.note.isTrouble():
		before := p.before()
		if before.isOlder(e) || Status(before.note.what).ended() {
			before = entry{status: string(Running)}
		}
		return p.say(e, resumed, before.progress, before.status, ""), true
	}
	return db.Progress{}, false
}

// end is decide for a run that has ended.
func end(e Execution, p *past) (db.Progress, bool) {
	latest := p.latest()
	switch {
	case latest.note == note{e.RunID, string(e.Status)}:
		return db.Progress{}, false
	case !latest.note.isOurs() && !latest.isOlder(e) &&
		(e.Status.saidBy(latest.status) || e.Status == Completed && latest.progress == 100):
		return db.Progress{}, false
	case e.Status == Completed:
		return p.say(e, string(e.Status), 100, string(e.Status), ""), true
	}
	reached := p.before()
	if reached.isOlder(e) {
		reached.progress = 0
	}
	return p.say(e, string(e.Status), reached.progress, string(e.Status), ""), true
}

// trouble is decide for a workflow of which Temporal says nothing. That is worth an item only where the watcher has the last word:
// not of ids that may not be workflows at all, of those that have ended, and of those that record themselves.
func trouble(p *past) (db.Progress, bool) {
	latest := p.latest()
	if p.final || !latest.note.isLive() && latest.note.what != string(stalled) {
		return db.Progress{}, false
	}
	return p.say(Execution{RunID: latest.note.runID}, string(unknown), latest.progress, string(unknown), unknownText), true
}

// say makes an item that follows those of the past.
func (p *past) say(e Execution, what string, percent float64, status, text string) db.Progress {
	return db.Progress{ID: note{e.RunID, what}.id(p.latest().at), Progress: percent, Status: status, Result: text}
}
