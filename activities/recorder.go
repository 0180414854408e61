package activities

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"chatfeed/db"
	"chatfeed/internal/host"
)

const (
	// flushEvery is how long a text waits for more of it; the first of a message does not wait.
	flushEvery = 50 * time.Millisecond
	// flushBytes is how much text does not wait.
	flushBytes = 4 << 10
	// maxWaiting is how much text may wait for the database before whoever writes has to wait, too.
	maxWaiting = 64 << 10
	// maxText is how long a part of a message may be; the message may not be longer either.
	maxText = 1 << 20
	// heartbeatEvery is how often the activity's heartbeat is recorded while nothing is written. The SDK sends fewer where fewer
	// will do.
	heartbeatEvery = 250 * time.Millisecond
)

// Recorder records what a long activity does while it runs: a message as it is written, calls of tools, logs, stats and progress.
// What is recorded is durable, in order, soon after: texts within 50 ms, all else when the method returns.
//
// A slow database is waited for: an error that may pass is retried until the activity's context ends. The ids are those of the
// activity and the same in each of its attempts, so an attempt that does again what the one before did records nothing twice;
// the text of a higher attempt takes the place of what lower ones have written.
//
// It records the activity's heartbeats, by which the activity learns of its cancellation and Temporal of a worker that has gone,
// if the activity has a heartbeat timeout. The SDK sends them at eight tenths of that timeout or, where that is less, at the
// worker's MaxHeartbeatThrottleInterval: this is how long a cancellation takes.
//
// Its methods may be called from any goroutine. Each returns the first error that the recorder has met: from then on it
// records nothing.
type Recorder struct {
	ctx     context.Context //nolint:containedctx // the activity's, which the recorder does not outlive
	host    host.Host
	info    activity.Info
	writer  Writer
	ending  context.CancelFunc // ends the heartbeats
	running sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // waiting, size, urgent, closed or err
	waiting []db.Item
	since   time.Time // when the first of them came
	size    int       // bytes of the texts that wait
	busy    bool      // what was waiting is being written
	urgent  bool      // what waits is to be written at once
	closed  bool
	err     error
	counts  map[string]int // of what has been made, by its prefix
	open    []*MessageWriter
}

// NewRecorder returns a recorder for the activity that ctx is of. End must be called.
func NewRecorder(ctx context.Context, w Writer) *Recorder {
	at := host.Of(ctx)
	r := &Recorder{ctx: ctx, host: at, info: at.Info, writer: w, counts: make(map[string]int)}
	r.changed = sync.NewCond(&r.mu)
	beating, cancel := context.WithCancel(ctx)
	r.ending = cancel
	r.running.Go(r.flush)
	r.running.Go(func() { r.beat(beating) })
	return r
}

// End ends the recording. It takes the error that the activity is about to return, and returns it, or the recorder's own where
// that is nil. Messages that are still open stand with what was said, with the status "cancelled" where the activity was
// cancelled, "failed" where the error is one that is not retried, and "complete" where there is none; else they are left to the
// next attempt.
//
//	defer func() { err = recorder.End(err) }()
func (r *Recorder) End(err error) error {
	if status := r.status(err); status != "" {
		for _, m := range r.unclosed() {
			err = errors.Join(err, m.close(context.WithoutCancel(r.ctx), status))
		}
	}
	r.mu.Lock()
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
	r.ending()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		return r.err
	}
	return err
}

func (r *Recorder) unclosed() []*MessageWriter {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := r.open
	r.open = nil
	return open
}

// status is that of messages which are open when the activity ends with an error, or empty where the next attempt goes on.
func (r *Recorder) status(err error) string {
	var application *temporal.ApplicationError
	switch {
	case temporal.IsCanceledError(err), temporal.IsCanceledError(context.Cause(r.ctx)):
		return "cancelled"
	case r.ctx.Err() != nil: // this attempt has lost its activity, which another may have by now
		return ""
	case err == nil:
		return "complete"
	case errors.As(err, &application) && application.NonRetryable():
		return "failed"
	}
	return ""
}

// Log records a line of the log.
func (r *Recorder) Log(level, message string) error {
	return r.record(r.ctx, db.Log{WorkflowID: r.info.WorkflowExecution.ID, ID: r.id("log_"), Level: level, Message: message})
}

// Stat records what a piece of work has cost.
func (r *Recorder) Stat(took time.Duration, tokens int64) error {
	return r.record(r.ctx, db.Stat{WorkflowID: r.info.WorkflowExecution.ID, ID: r.id("stat_"), ProcessingTime: took.Seconds(), TokenCount: tokens})
}

// Progress records how far the workflow has come, in per cent.
func (r *Recorder) Progress(percent float64, status string) error {
	return r.record(r.ctx, db.Progress{WorkflowID: r.info.WorkflowExecution.ID, ID: r.id("prog_"), Progress: percent, Status: status})
}

// id makes the next id of a kind, which is the same in every attempt.
func (r *Recorder) id(prefix string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.counts[prefix]
	r.counts[prefix]++
	return fmt.Sprintf("%s%s_%d", prefix, deriveID(r.info, 0), n)
}

// record has items written after what waits, and returns when they are durable.
func (r *Recorder) record(ctx context.Context, items ...db.Item) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, items...)
	return r.await(ctx)
}

// await waits until all that waits is written. The caller holds mu.
func (r *Recorder) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed.Broadcast()
	})
	defer stop()
	for (len(r.waiting) > 0 || r.busy) && r.err == nil && ctx.Err() == nil {
		r.urgent = true
		r.changed.Broadcast()
		r.changed.Wait()
	}
	return errors.Join(r.err, context.Cause(ctx))
}

// add appends a text to a part. It waits while too much does.
func (r *Recorder) add(p *PartWriter, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.size > maxWaiting && r.err == nil && r.ctx.Err() == nil {
		r.changed.Wait()
	}
	if err := errors.Join(r.err, context.Cause(r.ctx)); err != nil {
		return err
	}
	switch {
	case p.message.closed:
		return errClosed
	case p.text.Len()+len(text) > maxText:
		return refuse(fmt.Errorf("message %s: a part is longer than %d bytes", p.message.id, maxText))
	}
	piece := p.delta(text)
	if n := len(r.waiting) - 1; n >= 0 {
		if last, ok := r.waiting[n].(db.Delta); ok && last.MessageID == piece.MessageID && last.Part == piece.Part && len(last.Delta) < flushBytes {
			last.Delta += text
			r.waiting[n] = last
			piece = db.Delta{}
		}
	}
	if piece.MessageID != "" {
		if len(r.waiting) == 0 {
			r.since = time.Now()
		}
		r.waiting = append(r.waiting, piece)
	}
	r.urgent = r.urgent || p.at == 0 || r.size+len(text) >= flushBytes
	p.at += int64(utf8.RuneCountInString(text))
	p.text.WriteString(text)
	r.size += len(text)
	r.changed.Broadcast()
	return nil
}

// beat records heartbeats, which tell Temporal that the activity lives and the activity that it was cancelled.
func (r *Recorder) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.host.Heartbeat()
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what waits, until the recorder is closed and nothing waits any more.
func (r *Recorder) flush() {
	wake := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.urgent = len(r.waiting) > 0
		r.changed.Broadcast()
	}
	for {
		r.mu.Lock()
		for len(r.waiting) == 0 && !r.closed {
			r.changed.Wait()
		}
		if r.err != nil || len(r.waiting) == 0 {
			closed := r.closed
			r.waiting, r.size = nil, 0
			r.mu.Unlock()
			if closed {
				return
			}
			continue
		}
		late := time.AfterFunc(time.Until(r.since.Add(flushEvery)), wake) // what came during the last write has waited already
		for !r.urgent && !r.closed {
			r.changed.Wait()
		}
		late.Stop()
		items, size := r.waiting, r.size
		r.waiting, r.urgent, r.busy = nil, false, true
		r.mu.Unlock()

		err := r.write(items)
		r.host.Heartbeat()
		r.mu.Lock()
		r.busy = false
		r.size -= size
		if r.err == nil {
			r.err = err
		}
		r.changed.Broadcast()
		r.mu.Unlock()
	}
}

// write writes items, again while the error is one that may pass.
func (r *Recorder) write(items []db.Item) error {
	ctx := context.WithoutCancel(r.ctx) // what was said before a cancellation is recorded
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := r.writer.Write(bounded, items...)
		cancel()
		var bad *db.InvalidItemError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &bad), db.Refused(err):
			return refuse(err)
		case r.ctx.Err() != nil:
			return fmt.Errorf("record %d items: %w", len(items), err)
		}
		r.host.Logger.Warn("the feed cannot be written to; trying again", "items", len(items), "error", err)
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-r.ctx.Done():
			timer.Stop()
		}
	}
}
