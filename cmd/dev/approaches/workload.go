package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
	"chatfeed/cmd/internal/bench"
)

// The names of the workload's parts.
const (
	workloadName = "Workload"
	tellActivity = "TellSubscribers"
	workSignal   = "work"
	readUpdate   = "read_log"
)

// way is how the workflow lets watchers know.
type way string

const (
	byFeed     way = "feed"       // items, recorded by local activities
	byActivity way = "activities" // items, recorded by activities
	byLongPoll way = "long poll"
	byQuery    way = "query"
	byTelling  way = "hybrid"
	byPush     way = "push"
	byLog      way = "log" // kept by the workflow, read by an Update
)

// plan is the input of the workload.
type plan struct {
	Way       way      `json:"way"`
	Endpoints []string `json:"endpoints,omitempty"` // of a push
	Changes   int      `json:"changes"`
}

func (p plan) options() []progress.Option {
	switch p.Way {
	case byLongPoll:
		return []progress.Option{progress.LongPoll{}}
	case byQuery:
		return []progress.Option{progress.Hybrid{}}
	case byTelling:
		return []progress.Option{progress.Hybrid{Notify: tellActivity}}
	case byPush:
		options := make([]progress.Option, len(p.Endpoints))
		for i, endpoint := range p.Endpoints {
			options[i] = progress.Push{URL: endpoint}
		}
		return options
	}
	return []progress.Option{progress.Feed{Local: p.Way == byFeed}}
}

// workload is the workflow, and when each run has made its changes. It is in one process with the worker, so that a change can be timed
// as it is made: workflow.Now is the time at which the workflow task began.
type workload struct {
	mu   sync.Mutex
	made map[string][]int64 // by workflow: of each change, in nanoseconds since 1970
}

// run makes as many changes at once as each signal says, until one says 0. Signals set the pace, because Temporal's timers are too coarse
// for it. Each change has its number as a stamp in its status.
func (w *workload) run(ctx workflow.Context, p plan) (err error) {
	set, end := w.begin(ctx, p)
	defer func() { err = end(ctx, err) }()
	work := workflow.GetSignalChannel(ctx, workSignal)
	for n := 0; ; {
		var changes int
		if work.Receive(ctx, &changes); changes == 0 {
			return nil
		}
		for range changes {
			n++
			if !workflow.IsReplaying(ctx) {
				w.record(workflow.GetInfo(ctx).WorkflowExecution.ID, n)
			}
			set(100*float64(n)/float64(p.Changes+1), bench.Stamped(int64(n)))
		}
	}
}

// begin returns how a change is made and what has to be done at the end.
func (w *workload) begin(ctx workflow.Context, p plan) (set func(float64, string), end func(workflow.Context, error) error) {
	if p.Way == byLog {
		log := newUpdateLog(ctx)
		return log.add, log.end
	}
	tracker := progress.Track(ctx, p.options()...)
	return tracker.Set, tracker.End
}

// record notes that a run makes its nth change. A workflow task that Temporal has not accepted makes its changes again; the first time
// counts.
func (w *workload) record(workflowID string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if made := w.made[workflowID]; len(made) < n {
		w.made[workflowID] = append(made, time.Now().UnixNano())
	}
}

// times answers with when the changes of a workflow were made.
func (w *workload) times(answer http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = json.NewEncoder(answer).Encode(w.made[r.URL.Query().Get("workflow")])
}

// tell is the activity that tells the subscribers of a hybrid: a POST to the address of each.
func tell(ctx context.Context, n progress.Notification) error {
	body, err := json.Marshal(n.Snapshot)
	if err != nil {
		return err
	}
	for _, s := range n.Subscribers {
		if err := post(ctx, s.Address, body); err != nil {
			return fmt.Errorf("tell %s: %w", s.ID, err)
		}
	}
	return nil
}

func post(ctx context.Context, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	return nil
}

// updateLog is what Temporal's Workflow Streams does, reduced to one topic: the workflow keeps its items, and an Update is answered with
// those after an offset, as soon as there are any.
type updateLog struct {
	items []string
	ended bool
}

// page is the answer of the Update.
type page struct {
	Items []string `json:"items"`
	Next  int      `json:"next"`
	Done  bool     `json:"done"`
}

func newUpdateLog(ctx workflow.Context) *updateLog {
	log := new(updateLog)
	err := workflow.SetUpdateHandler(ctx, readUpdate, func(ctx workflow.Context, from int) (page, error) {
		err := workflow.Await(ctx, func() bool { return log.ended || len(log.items) > from })
		return page{log.items[min(from, len(log.items)):], len(log.items), log.ended}, err
	})
	if err != nil { // only for a handler of the wrong form
		panic(err)
	}
	return log
}

func (l *updateLog) add(_ float64, status string) { l.items = append(l.items, status) }

func (l *updateLog) end(ctx workflow.Context, err error) error {
	l.ended = true
	_ = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }) // only a cancellation ends it
	return err
}
