package db

import (
	"context"
	"math/rand/v2"
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

// setApart takes the writes to blocked workflows out of a group and returns the others. Each workflow has a goroutine that
// writes what waits for it, in order, until nothing waits any more.
func (w *Writer) setApart(group []*write, blocked []string) (free []*write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, workflow := range blocked {
		if _, ok := w.apart[workflow]; !ok {
			w.apart[workflow] = nil
			w.running.Go(func() { w.writeApart(workflow) })
		}
	}
	for _, request := range group {
		if workflow, ok := w.waitsFor(request); ok {
			w.apart[workflow] = append(w.apart[workflow], request)
		} else {
			free = append(free, request)
		}
	}
	return free
}

// writeApart writes what waits for a workflow, each write in a transaction of its own, until nothing waits. It asks for the
// lock again and again instead of waiting for it, so that it keeps no connection from others.
func (w *Writer) writeApart(workflow string) {
	for {
		request := w.nextApart(workflow)
		if request == nil {
			return
		}
		ctx, cancel := context.WithDeadline(context.Background(), request.begun.Add(commitTimeout))
		request.done <- w.persist(ctx, request)
		cancel()
	}
}

// nextApart takes the first write that waits for a workflow. Where none does, the workflow's writes join groups again.
func (w *Writer) nextApart(workflow string) *write {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.apart[workflow]
	if len(waiting) == 0 {
		delete(w.apart, workflow)
		return nil
	}
	w.apart[workflow] = waiting[1:]
	return waiting[0]
}

// persist tries a write until the workflows' locks can be had. The error is that of the last try.
func (w *Writer) persist(ctx context.Context, request *write) error {
	for {
		w.turns <- struct{}{}
		err := w.try(ctx, []*write{request}, shortTimeout)
		<-w.turns
		if len(locked(err)) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50*time.Millisecond + rand.N(50*time.Millisecond)):
		}
	}
}
