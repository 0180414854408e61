package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"chatfeed/activities/progress"
	"chatfeed/cmd/internal/bench"
)

const (
	pollEvery   = 500 * time.Millisecond
	leastPoll   = 100 * time.Millisecond // of the adaptive polls
	mostPoll    = 5 * time.Second
	pollFactor  = 1.5
	logCooldown = 100 * time.Millisecond // between two reads, as Workflow Streams has it by default
	askAgain    = 500 * time.Millisecond // after a refusal
)

// pause waits, and reports false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func pollAtRest(ctx context.Context, r *run, watcher int, watching func()) error {
	watching()
	for pause(ctx, rand.N(pollEvery)); ctx.Err() == nil; pause(ctx, pollEvery) { // not all at once
		if snapshot, ok := r.ask(ctx, "/progress", 0); ok {
			r.receipts.take(watcher, snapshot)
		}
	}
	return nil
}

func pollAdaptively(ctx context.Context, r *run, watcher int, watching func()) error {
	watching()
	var last int64
	delay := leastPoll
	for pause(ctx, rand.N(delay)); ctx.Err() == nil; pause(ctx, delay) {
		snapshot, ok := r.ask(ctx, "/progress", 0)
		delay = min(time.Duration(float64(delay)*pollFactor), mostPoll)
		if version := versionOf(snapshot); ok && version != last {
			last, delay = version, leastPoll
			r.receipts.take(watcher, snapshot)
		}
	}
	return nil
}

// versionOf returns the version of a snapshot in JSON; 0 for none.
func versionOf(snapshot []byte) int64 {
	var s progress.Snapshot
	_ = json.Unmarshal(snapshot, &s) // of our own service; null is none
	return s.Version
}

func longPoll(ctx context.Context, r *run, watcher int, watching func()) error {
	watching() // a change that comes before the first Update is answered at once
	var last progress.Snapshot
	for ctx.Err() == nil && !last.Done {
		answer, ok := r.ask(ctx, "/wait", last.Version)
		if !ok {
			pause(ctx, askAgain)
			continue
		}
		r.receipts.take(watcher, answer)
		if err := json.Unmarshal(answer, &last); err != nil {
			return fmt.Errorf("read a snapshot: %w", err)
		}
	}
	return nil
}

func readLog(ctx context.Context, r *run, watcher int, watching func()) error {
	watching()
	var got page
	for ctx.Err() == nil && !got.Done {
		answer, ok := r.ask(ctx, "/log", int64(got.Next))
		if !ok {
			pause(ctx, askAgain)
			continue
		}
		r.receipts.take(watcher, answer)
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("read a page: %w", err)
		}
		pause(ctx, logCooldown)
	}
	return nil
}

// beTold subscribes with a signal, asks once, and asks again whenever it is told of a change.
func beTold(ctx context.Context, r *run, watcher int, watching func()) error {
	e := r.endpoints[watcher]
	query := "/subscribe?workflow=" + url.QueryEscape(r.workflow) + "&id=" + strconv.Itoa(watcher) + "&address=" + url.QueryEscape(e.url)
	r.call(ctx, http.MethodPost, query) // a watcher that is refused will never be told, and counts as one
	r.ask(ctx, "/changed", 0)
	watching()
	var last int64
	for {
		select {
		case <-e.told:
		case <-ctx.Done():
			return nil
		}
		for len(e.told) > 0 { // one question for all that has come meanwhile
			<-e.told
		}
		if snapshot, ok := r.ask(ctx, "/changed", last); ok {
			r.receipts.take(watcher, snapshot)
			last = max(last, versionOf(snapshot))
		}
	}
}

// bePushed is an endpoint, which the workflow has known from its start.
func bePushed(ctx context.Context, r *run, watcher int, watching func()) error {
	watching()
	for {
		select {
		case delivery := <-r.endpoints[watcher].told:
			r.receipts.take(watcher, delivery)
		case <-ctx.Done():
			return nil
		}
	}
}

// follow reads a stream of the feed. The first watcher keeps the frames, for the baseline.
func follow(ctx context.Context, r *run, watcher int, watching func()) error {
	stream, err := bench.OpenStream(ctx, r.service, r.approach.format, r.workflow)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, stream.Close)()
	defer stream.Close()
	r.calls.Add(1)
	watching()
	for {
		bytes, err := stream.Next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		r.receipts.take(watcher, bytes)
		if watcher == 0 {
			r.frames = append(r.frames, frame{time.Now(), slices.Clone(bytes)})
		}
	}
}
