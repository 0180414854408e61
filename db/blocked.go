package db

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// blockedBy returns a workflow of the write that others have locked, if any; the write must then wait. w.mu is held.
func (w *Writer) blockedBy(request *write) (workflow string, ok bool) {
	if len(w.blocked) == 0 {
		return "", false
	}
	for _, r := range request.rows {
		if _, ok := w.blocked[r.workflowID]; ok {
			return r.workflowID, true
		}
	}
	return "", false
}

// removeBlocked makes the writes to blocked workflows wait, and returns the others of the group.
func (w *Writer) removeBlocked(group []*write, blocked []string) (free []*write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block(blocked)
	for _, request := range group {
		if workflow, ok := w.blockedBy(request); ok {
			w.blocked[workflow] = append(w.blocked[workflow], request)
		} else {
			free = append(free, request)
		}
	}
	return free
}

// block makes writes to the workflows wait from now on. w.mu is held.
func (w *Writer) block(workflows []string) {
	for _, workflow := range workflows {
		if _, ok := w.blocked[workflow]; !ok {
			w.blocked[workflow] = nil
			w.running.Go(func() { w.writeBlocked(workflow) })
		}
	}
}

// writeBlocked retries the first write that waits for a workflow until it gets its locks. The writes behind it then return to
// the queue, in order. It never waits long for a lock, so that it keeps no connection from others.
func (w *Writer) writeBlocked(workflow string) {
	for request := w.firstBlocked(workflow); request != nil; request = w.firstBlocked(workflow) {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		w.turns <- struct{}{}
		err := w.try(ctx, []*write{request}, shortTimeout)
		<-w.turns
		cancel()
		if lockTimedOut(err) && time.Since(request.begun) < commitTimeout {
			w.wait(workflow, request, locked(err))
			time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond)) //nolint:forbidigo // there is no notification of a free lock
			continue
		}
		w.end(workflow, request, !lockTimedOut(err))
		request.done <- err
	}
}

// firstBlocked returns the first write that waits for a workflow, to be tried. If there is none, it returns nil and the
// workflow is no longer blocked.
func (w *Writer) firstBlocked(workflow string) *write {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.blocked[workflow]
	if len(waiting) == 0 {
		delete(w.blocked, workflow)
		return nil
	}
	waiting[0].busy = true
	return waiting[0]
}

// wait records that a write could not be written yet. If another of its workflows is locked, it moves there, so that the
// writes behind it do not wait for it.
func (w *Writer) wait(workflow string, request *write, blocked []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	request.busy = false
	if len(blocked) == 0 || slices.Contains(blocked, workflow) {
		return
	}
	w.remove(workflow, request)
	w.block(blocked[:1])
	w.blocked[blocked[0]] = append(w.blocked[blocked[0]], request)
}

// end removes a write and, if its workflow is free, returns the writes behind it to the queue.
func (w *Writer) end(workflow string, request *write, free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(workflow, request)
	if free && !w.closed { // a closed writer may have no flusher left
		w.queue = append(w.blocked[workflow], w.queue...)
		w.blocked[workflow] = nil
		w.arrived.Broadcast()
	}
}

// remove removes a write from those that wait for a workflow. w.mu is held.
func (w *Writer) remove(workflow string, request *write) {
	waiting := w.blocked[workflow]
	if at := slices.Index(waiting, request); at >= 0 {
		w.blocked[workflow] = slices.Delete(waiting, at, at+1)
	}
}
