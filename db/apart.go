package db

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// waitsFor returns a workflow of the write that others have locked, so that the write has to wait apart. w.mu is held.
func (w *Writer) waitsFor(request *write) (workflow string, ok bool) {
	if len(w.apart) == 0 {
		return "", false
	}
	for _, r := range request.rows {
		if _, ok := w.apart[r.workflowID]; ok {
			return r.workflowID, true
		}
	}
	return "", false
}

// setApart takes the writes to blocked workflows out of a group and returns the others.
func (w *Writer) setApart(group []*write, blocked []string) (free []*write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block(blocked)
	for _, request := range group {
		if workflow, ok := w.waitsFor(request); ok {
			w.apart[workflow] = append(w.apart[workflow], request)
		} else {
			free = append(free, request)
		}
	}
	return free
}

// block has writes to workflows wait apart from now on. w.mu is held.
func (w *Writer) block(workflows []string) {
	for _, workflow := range workflows {
		if _, ok := w.apart[workflow]; !ok {
			w.apart[workflow] = nil
			w.running.Go(func() { w.writeApart(workflow) })
		}
	}
}

// writeApart tries the first write that waits for a workflow, again and again, until its locks can be had. Then what waits
// behind it joins groups again, in order. It never waits for a lock for long, so that it keeps no connection from others.
func (w *Writer) writeApart(workflow string) {
	for request := w.firstApart(workflow); request != nil; request = w.firstApart(workflow) {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		w.turns <- struct{}{}
		err := w.try(ctx, []*write{request}, shortTimeout)
		<-w.turns
		cancel()
		if lockTimedOut(err) && time.Since(request.begun) < commitTimeout {
			w.wait(workflow, request, locked(err))
			time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond)) //nolint:forbidigo // nobody tells when the lock is free
			continue
		}
		w.end(workflow, request, !lockTimedOut(err))
		request.done <- err
	}
}

// firstApart returns the first write that waits for a workflow, for it to be tried, or nil where none does; the workflow's
// writes join groups again then.
func (w *Writer) firstApart(workflow string) *write {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.apart[workflow]
	if len(waiting) == 0 {
		delete(w.apart, workflow)
		return nil
	}
	waiting[0].busy = true
	return waiting[0]
}

// wait notes that a write could not be written yet. Where it is another workflow that it waits for, it waits there, and no
// longer keeps those behind it waiting.
func (w *Writer) wait(workflow string, request *write, blocked []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	request.busy = false
	if len(blocked) == 0 || slices.Contains(blocked, workflow) {
		return
	}
	w.remove(workflow, request)
	w.block(blocked[:1])
	w.apart[blocked[0]] = append(w.apart[blocked[0]], request)
}

// end takes a write out, and where its workflow is free again lets all that waits behind it join groups.
func (w *Writer) end(workflow string, request *write, free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(workflow, request)
	if free && !w.closed { // a closed writer may have nobody left who takes from the queue
		w.queue = append(w.apart[workflow], w.queue...)
		w.apart[workflow] = nil
		w.arrived.Broadcast()
	}
}

// remove takes a write from those that wait for a workflow. w.mu is held.
func (w *Writer) remove(workflow string, request *write) {
	waiting := w.apart[workflow]
	if at := slices.Index(waiting, request); at >= 0 {
		w.apart[workflow] = slices.Delete(waiting, at, at+1)
	}
}
