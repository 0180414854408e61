package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"chatfeed/cmd/internal/bench"
)

// bare is what a bare fan-out of the same bytes takes.
type bare struct {
	took []time.Duration // from the call that publishes a frame to each watcher's receipt, in order
	cpu  time.Duration
}

// fanOut sends the frames of a run to as many watchers, with the same times between them, through a bare net/http server.
func (l *lab) fanOut(ctx context.Context, m *measured) (result *bare, err error) {
	server, err := l.bench.Start(ctx, "baseline")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop(server)) }()
	const topic = "approaches"
	if err := bench.Begin(ctx, server, m.approach.format, topic); err != nil {
		return nil, err
	}
	got := newReceipts(m.watchers, m.changes)
	streaming, end := context.WithCancel(ctx)
	defer end()
	group, streaming := errgroup.WithContext(streaming)
	defer func() { err = errors.Join(err, ended(end, group)) }()
	for i := range m.watchers {
		stream, err := bench.OpenStream(streaming, server, m.approach.format, topic)
		if err != nil {
			return nil, err
		}
		group.Go(func() error {
			defer context.AfterFunc(streaming, stream.Close)()
			defer stream.Close()
			for {
				bytes, err := stream.Next()
				if streaming.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				got.take(i, bytes)
			}
		})
	}
	before, err := server.CPU()
	if err != nil {
		return nil, err
	}
	sent, err := replay(streaming, server, topic, m)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(streaming, time.Minute)
	defer cancel()
	for !got.settled() && pause(waiting, 10*time.Millisecond) {
	}
	result = new(bare)
	after, err := server.CPU()
	result.cpu = after - before
	took, missed := got.since(sent)
	for _, n := range missed {
		if n > 0 {
			err = errors.Join(err, fmt.Errorf("the baseline has lost %d changes of a watcher", n))
			break
		}
	}
	result.took = took
	return result, err
}

// replay publishes the frames of a run at their pace and returns when each change was published.
func replay(ctx context.Context, server *bench.Process, topic string, m *measured) ([]int64, error) {
	sent := make([]int64, m.changes)
	began := time.Now()
	for _, f := range m.frames {
		if !pause(ctx, time.Until(began.Add(f.at.Sub(m.frames[0].at)))) {
			return nil, ctx.Err()
		}
		now := time.Now().UnixNano()
		bench.Stamps(f.bytes, func(n int64) { sent[n-1] = now })
		if err := bench.Publish(ctx, server, topic, f.bytes); err != nil {
			return nil, err
		}
	}
	return sent, nil
}
