package bench

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/internal/host"
)

// streamWay is a way to write a message while a model makes it.
type streamWay string

const (
	byRecorder streamWay = "recorder"
	byToken    streamWay = "token"
	byWhole    streamWay = "whole"
)

// wholeEvery is how often the whole text is written: as often as a Recorder writes.
const wholeEvery = 50 * time.Millisecond

// writer returns a writer of answers into a workflow.
func (w streamWay) writer(ctx context.Context, rows activities.Writer, workflow string) answerWriter {
	switch w {
	case byToken:
		return &tokenWriter{rows: rows, workflow: workflow}
	case byWhole:
		return newWholeWriter(ctx, rows, workflow)
	}
	return newRecorderWriter(ctx, rows, workflow)
}

// answerWriter writes the answers of one stream. It is used by one goroutine.
type answerWriter interface {
	token(ctx context.Context, text string) error // the next of the answer
	endAnswer(ctx context.Context) error
	close() error
}

// model writes the tokens of one stream when they are due.
type model struct {
	load   streamLoad
	stream int
	start  time.Time
}

func (m model) write(ctx context.Context, to answerWriter) (err error) {
	defer func() {
		if closing := to.close(); err == nil {
			err = closing
		}
	}()
	var at alarm
	for token := range m.load.tokens(m.stream) {
		if err := at.waitUntil(ctx, m.start.Add(m.load.due(m.stream, token))); err != nil {
			return err
		}
		if err := to.token(ctx, tokenText); err != nil {
			return fmt.Errorf("write a token: %w", err)
		}
		if m.load.endsAnswer(m.stream, token) {
			if err := to.endAnswer(ctx); err != nil {
				return fmt.Errorf("end an answer: %w", err)
			}
		}
	}
	return nil
}

// recorderWriter writes by a Recorder, as an activity would.
type recorderWriter struct {
	recorder *activities.Recorder
	answer   *activities.MessageWriter
}

func newRecorderWriter(ctx context.Context, rows activities.Writer, workflowID string) *recorderWriter {
	ctx = host.With(ctx, host.Host{
		Info: activity.Info{
			WorkflowExecution: workflow.Execution{ID: workflowID, RunID: "bench"}, ActivityID: "1", Attempt: 1,
		},
		Logger:    log.NewStructuredLogger(slog.Default()),
		Heartbeat: func() {},
	})
	return &recorderWriter{recorder: activities.NewRecorder(ctx, rows)}
}

func (w *recorderWriter) token(_ context.Context, text string) error {
	if w.answer == nil {
		w.answer = w.recorder.Message("")
	}
	_, err := w.answer.WriteString(text)
	return err
}

func (w *recorderWriter) endAnswer(context.Context) error {
	defer func() { w.answer = nil }()
	return w.answer.Close("complete")
}

func (w *recorderWriter) close() error { return w.recorder.End(nil) }

// answer is a text that is being written without a Recorder.
type answer struct {
	number int
	text   strings.Builder
}

func (a *answer) id() string { return fmt.Sprintf("msg_%d", a.number) }

// tokenWriter writes a row for each token.
type tokenWriter struct {
	rows     activities.Writer
	workflow string
	answer   answer
}

func (w *tokenWriter) token(ctx context.Context, text string) error {
	_, err := w.rows.Write(ctx, db.Delta{WorkflowID: w.workflow, MessageID: w.answer.id(), At: int64(w.answer.text.Len()), Delta: text})
	w.answer.text.WriteString(text)
	return err
}

func (w *tokenWriter) endAnswer(ctx context.Context) error {
	_, err := w.rows.Write(ctx, db.Message{WorkflowID: w.workflow, ID: w.answer.id(), Message: w.answer.text.String(), Status: "complete"})
	w.answer = answer{number: w.answer.number + 1}
	return err
}

func (w *tokenWriter) close() error { return nil }

// wholeWriter writes the whole text every 50 ms, in a goroutine of its own, if it has changed.
type wholeWriter struct {
	rows     activities.Writer
	workflow string
	stop     context.CancelFunc
	flushing sync.WaitGroup

	mu      sync.Mutex
	answer  answer
	version int
	changed bool
	err     error
}

func newWholeWriter(ctx context.Context, rows activities.Writer, workflowID string) *wholeWriter {
	ctx, stop := context.WithCancel(ctx)
	w := &wholeWriter{rows: rows, workflow: workflowID, stop: stop}
	w.flushing.Go(func() {
		tick := time.NewTicker(wholeEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.mu.Lock()
				w.flush(context.WithoutCancel(ctx), "")
				w.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

// flush writes a version of the text. The caller holds mu.
func (w *wholeWriter) flush(ctx context.Context, status string) {
	if !w.changed || w.err != nil {
		return
	}
	row := db.Message{WorkflowID: w.workflow, ID: w.answer.id(), Message: w.answer.text.String(), Status: status}
	if w.version > 0 {
		row.ID, row.Replaces = fmt.Sprintf("%s_%d", row.ID, w.version), row.ID
	}
	w.version++
	w.changed = false
	_, w.err = w.rows.Write(ctx, row)
}

func (w *wholeWriter) token(_ context.Context, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer.text.WriteString(text)
	w.changed = true
	return w.err
}

func (w *wholeWriter) endAnswer(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = true
	w.flush(ctx, "complete")
	w.answer, w.version, w.changed = answer{number: w.answer.number + 1}, 0, false
	return w.err
}

func (w *wholeWriter) close() error {
	w.stop()
	w.flushing.Wait()
	return w.err
}

// countingWriter counts the rows that are written through it.
type countingWriter struct {
	writer activities.Writer
	rows   atomic.Int64
}

func (w *countingWriter) Write(ctx context.Context, items ...db.Item) ([]db.Written, error) {
	w.rows.Add(int64(len(items)))
	return w.writer.Write(ctx, items...)
}
