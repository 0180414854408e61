package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"chatfeed/cmd/internal/bench"
)

// run is one measurement: an approach with a number of watchers.
type run struct {
	lab       *lab
	approach  approach
	watchers  int
	plan      plan
	workflow  string
	worker    *bench.Process
	service   *bench.Process // what the watchers talk to; nil if nothing
	endpoints []*endpoint
	http      *http.Client

	receipts *receipts
	calls    atomic.Int64 // between watchers and whom they talk to
	limits   *limits
	frames   []frame // of the first watcher's stream
}

// frame is a part of a stream that came at once.
type frame struct {
	at    time.Time
	bytes []byte
}

// ask asks the service about the workflow, with the version or offset that the watcher has. It reports false if there was no answer.
func (r *run) ask(ctx context.Context, path string, last int64) ([]byte, bool) {
	return r.call(ctx, http.MethodGet, path+"?workflow="+url.QueryEscape(r.workflow)+"&last="+strconv.FormatInt(last, 10))
}

func (r *run) call(ctx context.Context, method, path string) ([]byte, bool) {
	request, err := http.NewRequestWithContext(ctx, method, r.service.URL+path, nil)
	if err != nil {
		r.limits.meet(err.Error(), 1)
		return nil, false
	}
	r.calls.Add(1)
	response, err := r.http.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			r.limits.meet(err.Error(), 1)
		}
		return nil, false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case ctx.Err() != nil:
		return nil, false
	case err != nil:
		r.limits.meet(err.Error(), 1)
		return nil, false
	case response.StatusCode == http.StatusGone: // a watcher that was refused before asks too late
		return nil, false
	case response.StatusCode != http.StatusOK:
		r.limits.meet(string(body), 1)
		return nil, false
	}
	return body, true
}

// measure runs the workload once and returns what it has cost and brought.
func (l *lab) measure(ctx context.Context, a approach, watchers int) (m *measured, err error) {
	l.runs++
	r := &run{
		lab: l, approach: a, watchers: watchers, workflow: "approaches_" + strconv.Itoa(l.runs),
		plan: plan{Way: a.way, Changes: l.pace.changes()},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: watchers}}, limits: newLimits(),
		receipts: newReceipts(watchers, l.pace.changes()),
	}
	defer r.http.CloseIdleConnections()
	before, err := l.transactions(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, e := range r.endpoints {
			e.close()
		}
		err = errors.Join(err, stop(r.service), stop(r.worker))
		if err == nil { // the programs have reported to PostgreSQL what they did
			after, failed := l.transactions(ctx)
			m.transactions, err = after-before, failed
		}
	}()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	return r.follow(ctx)
}

// stop ends a process, if there is one.
func stop(p *bench.Process) error {
	if p == nil {
		return nil
	}
	_, err := p.Stop()
	return err
}

// start starts the programs and the workflow.
func (r *run) start(ctx context.Context) (err error) {
	queue := "queue_" + r.workflow
	if r.worker, err = r.lab.bench.Start(ctx, "worker",
		"--database-url="+r.lab.bench.DatabaseURL, "--temporal="+r.lab.address, "--task-queue="+queue); err != nil {
		return err
	}
	switch {
	case r.approach.asks:
		r.service, err = r.lab.bench.Start(ctx, "service", "--temporal="+r.lab.address)
	case r.approach.format != "":
		r.service, err = r.lab.bench.Serve(ctx)
	}
	if err != nil {
		return err
	}
	for range r.watchers {
		if !r.approach.listen {
			break
		}
		e, err := listen(ctx, func() { r.calls.Add(1) })
		if err != nil {
			return err
		}
		r.endpoints = append(r.endpoints, e)
		r.plan.Endpoints = append(r.plan.Endpoints, e.url)
	}
	options := client.StartWorkflowOptions{ID: r.workflow, TaskQueue: queue}
	_, err = r.lab.temporal.ExecuteWorkflow(ctx, options, workloadName, r.plan)
	return err
}

// follow has the watchers watch the workload from its beginning to its end.
func (r *run) follow(ctx context.Context) (*measured, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	group, watching := errgroup.WithContext(watching)
	if err := r.open(watching, group); err != nil {
		return nil, err
	}
	before, err := r.usage()
	if err != nil {
		return nil, err
	}
	if err := r.work(watching); err != nil {
		return nil, errors.Join(err, ended(stop, group))
	}
	r.settle(watching)
	after, err := r.usage()
	if err := errors.Join(err, ended(stop, group)); err != nil {
		return nil, err
	}
	return r.figures(ctx, after.less(before))
}

// ended ends the watchers and returns the fault of one, if there was any.
func ended(stop context.CancelFunc, group *errgroup.Group) error {
	stop()
	return group.Wait()
}

// open starts the watchers and returns when all watch.
func (r *run) open(ctx context.Context, group *errgroup.Group) error {
	const atOnce = 32
	places := make(chan struct{}, atOnce)
	ready := make(chan struct{}, r.watchers)
	for i := range r.watchers {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return group.Wait()
		}
		group.Go(func() error {
			watching := sync.OnceFunc(func() { <-places; ready <- struct{}{} })
			if err := r.approach.watch(ctx, r, i, watching); err != nil {
				return fmt.Errorf("watcher %d: %w", i, err)
			}
			return nil
		})
	}
	for range r.watchers {
		select {
		case <-ready:
		case <-ctx.Done():
			return group.Wait()
		}
	}
	return nil
}

// tooSlow is the reason for the termination of a workflow that takes far longer than planned.
const tooSlow = "the measurement is over"

// work has the workflow do its work, and waits until it has ended. One that takes far longer than planned is terminated, and a limit that
// was met is a reason for another end than the planned one. The calls for this are not made by the processes that are measured.
func (r *run) work(ctx context.Context) error {
	most := 3*r.lab.pace.takes() + 30*time.Second
	working, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := r.lab.pace.drive(working, func(changes int) error {
		return r.lab.temporal.SignalWorkflow(working, r.workflow, "", workSignal, changes)
	})
	if err == nil {
		err = r.lab.temporal.GetWorkflow(working, r.workflow, "").Get(working, nil)
	}
	if _, other := errors.AsType[*temporal.WorkflowExecutionError](err); other {
		r.limits.end("the workflow did not end as planned: %v", errors.Unwrap(err))
		return nil
	}
	if err == nil || working.Err() == nil || ctx.Err() != nil {
		return err
	}
	r.limits.end("the workflow had not ended after %s, though its work takes %s", most, r.lab.pace.takes())
	return r.lab.temporal.TerminateWorkflow(ctx, r.workflow, "", tooSlow)
}

// settle waits until all watchers have the last change, for as long as an adaptive poll may rest.
func (r *run) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, mostPoll+time.Second)
	defer cancel()
	for !r.receipts.settled() && pause(ctx, 10*time.Millisecond) {
	}
}
