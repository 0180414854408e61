package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// durable follows by the Durable Streams protocol, which has a stream for each workflow.
func durable(over func(*server) *http.Client, live string) func(context.Context, *server, follow) iter.Seq2[frame, error] {
	return func(ctx context.Context, s *server, f follow) iter.Seq2[frame, error] {
		return func(yield func(frame, error) bool) {
			ctx, cancel := context.WithCancel(ctx)
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			type told struct {
				workflow int
				frame    frame
				err      error
			}
			tell := make(chan told)
			for i, from := range f.from {
				d := &durableClient{client: over(s), stream: streamAddress(s, from.workflow), live: live, types: f.types, offset: "-1"}
				if from.after > 0 {
					d.offset = offset(from.after)
				}
				running.Go(func() {
					d.follow(ctx, func(got frame, err error) bool {
						select {
						case tell <- told{i, got, err}:
							return err == nil
						case <-ctx.Done():
							return false
						}
					})
				})
			}
			said := make([]frame, len(f.from)) // last, of each workflow
			for {
				var one told
				select {
				case one = <-tell:
				case <-ctx.Done():
					one.err = ctx.Err()
				}
				said[one.workflow] = one.frame
				one.frame.upToDate, one.frame.final = true, true
				for _, last := range said {
					one.frame.upToDate = one.frame.upToDate && last.upToDate
					one.frame.final = one.frame.final && last.final
				}
				switch {
				case one.err != nil:
					yield(frame{}, one.err)
					return
				case !yield(one.frame, nil):
					return
				case one.frame.final:
					yield(frame{}, nil)
					return
				}
			}
		}
	}
}

func streamAddress(s *server, workflow string) string {
	return s.url + "/v1/stream/workflows/" + url.PathEscape(workflow)
}

// offset is that of a time in microseconds.
func offset(micros int64) string { return fmt.Sprintf("%019d", micros) }

// durableClient follows one stream of the protocol.
type durableClient struct {
	client       *http.Client
	stream, live string
	types        []string
	offset       string
	cursor       string
	caughtUp     bool // only then it waits
	absent       bool
}

// follow makes one request after the other, each from the offset of the last answer, until the stream is closed, a request is
// refused, ctx ends or tell returns false. A stream that does not exist yet is asked for again and again.
func (d *durableClient) follow(ctx context.Context, tell func(frame, error) bool) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		query := url.Values{"offset": {d.offset}, "types": {strings.Join(d.types, ",")}, "cursor": {d.cursor}}
		if d.caughtUp || d.live == "sse" {
			query.Set("live", d.live)
		}
		response, err := request(ctx, d.client, d.stream+"?"+query.Encode(), "Accept", "*/*")
		switch {
		case response == nil && err != nil && strings.Contains(err.Error(), "no workflow with this id has items"):
			if !d.absent && !tell(frame{upToDate: true}, nil) {
				return
			}
			d.absent = true
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			continue
		case err != nil:
			tell(frame{}, err)
			return
		}
		if closed := d.read(response, tell); closed || ctx.Err() != nil {
			return
		}
	}
}

// read tells what an answer says. It reports whether nothing comes after that.
func (d *durableClient) read(response *http.Response, tell func(frame, error) bool) (ended bool) {
	defer func() { _ = response.Body.Close() }()
	if response.Header.Get("Content-Type") == "text/event-stream" {
		return d.readEvents(response.Body, tell)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return !tell(frame{}, err)
	}
	if response.StatusCode == http.StatusNoContent {
		body = []byte("[]")
	}
	got, err := readREST([]byte(`{"items": ` + string(body) + `}`))
	d.offset, d.cursor = response.Header.Get("Stream-Next-Offset"), response.Header.Get("Stream-Cursor")
	got.upToDate, got.final = response.Header.Get("Stream-Up-To-Date") == "true", response.Header.Get("Stream-Closed") == "true"
	d.caughtUp = got.upToDate
	return !tell(got, err) || got.final
}

// readEvents reads until the stream is closed or the response ends, which says nothing.
func (d *durableClient) readEvents(body io.Reader, tell func(frame, error) bool) (ended bool) {
	var items []item
	upToDate := false
	for e, err := range eventsOf(body) {
		if err != nil {
			return false
		}
		got := frame{}
		switch e.name {
		case "data":
			got, err = readREST([]byte(`{"items": ` + e.data + `}`))
			if items = got.items; err == nil {
				continue
			}
		case "control":
			var said struct {
				StreamNextOffset, StreamCursor string
				UpToDate, StreamClosed         bool
			}
			err = json.Unmarshal([]byte(e.data), &said)
			d.offset, d.cursor, upToDate = said.StreamNextOffset, said.StreamCursor, said.UpToDate
			got, items = frame{items: items, upToDate: upToDate, final: said.StreamClosed}, nil
		default:
			got, err = e.frame(&upToDate)
		}
		if !tell(got, err) || got.final {
			return true
		}
	}
	return false
}
