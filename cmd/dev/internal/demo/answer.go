package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/temporal"

	"chatfeed/activities"
	"chatfeed/db"
)

// longText is the most bytes of a text that are analyzed without asking.
const longText = 20 << 10

// Question is what is to be answered.
type Question struct {
	Text string `json:"text"`
	// Call is the analysis that somebody was asked to approve, and Approval the answer. There is none the first time.
	Call     *db.Tool `json:"call,omitempty"`
	Approval Approval `json:"approval"`
}

// Answered says how an answer has ended.
type Answered struct {
	Result  string   `json:"result,omitempty"`  // what was done
	Waiting *db.Tool `json:"waiting,omitempty"` // what somebody has to approve before the question can be answered
	Stopped bool     `json:"stopped,omitempty"` // it was cancelled; what was said until then stands
}

// Answers is the activities of the demo.
type Answers struct {
	writer activities.Writer
	pace   time.Duration
}

// Answer answers a question, word by word. Before it analyzes a long text it asks for approval; without one it analyzes the
// beginning. That it is cancelled is a result like others and not an error, which the worker would log as one.
func (a *Answers) Answer(ctx context.Context, q Question) (answered Answered, err error) {
	recorder := activities.NewRecorder(ctx, a.writer)
	defer func() { //nolint:contextcheck // the recorder has it
		err = recorder.End(err)
		if temporal.IsCanceledError(err) {
			answered, err = Answered{Stopped: true}, nil
		}
	}()
	message := recorder.Message("assistant")
	if q.Call == nil && len(q.Text) > longText {
		return a.ask(ctx, message, q.Text)
	}
	text, call, err := approved(recorder, message, q)
	if err != nil {
		return Answered{}, err
	}
	analysis := Analyze(text)
	if err := call.Output(analysis); err != nil {
		return Answered{}, err
	}
	done := fmt.Sprintf("Summarized %s in %d.", count(analysis.Sentences, "sentence", "sentences"), len(analysis.Summary))
	if err := recorder.Log("info", done); err != nil {
		return Answered{}, err
	}
	if err := recorder.Stat(time.Duration(analysis.ProcessingTime*float64(time.Second)), analysis.Tokens); err != nil {
		return Answered{}, err
	}
	why, answer := reasons(analysis), reply(analysis)
	each := a.each(why + answer)
	if err := say(ctx, message.Reasoning(), why, each); err != nil {
		return Answered{}, err
	}
	if err := say(ctx, message, answer, each); err != nil {
		return Answered{}, err
	}
	return Answered{Result: done}, message.Close("complete")
}

// ask asks whether all of a long text may be analyzed.
func (a *Answers) ask(ctx context.Context, message *activities.MessageWriter, text string) (Answered, error) {
	question := fmt.Sprintf("This text is long: %s. May I analyze all of it? Otherwise I read the first %s.",
		count(len(text), "byte", "bytes"), count(longText, "byte", "bytes"))
	if err := say(ctx, message, question, a.each(question)); err != nil {
		return Answered{}, err
	}
	call, err := message.Tool("full_analysis", map[string]int{"bytes": len(text)})
	if err != nil {
		return Answered{}, err
	}
	if err := call.RequestApproval(); err != nil {
		return Answered{}, err
	}
	waiting := call.Call()
	return Answered{Waiting: &waiting}, message.Close("complete")
}

// approved returns the text that may be analyzed, and the call that does it.
func approved(recorder *activities.Recorder, message *activities.MessageWriter, q Question) (string, *activities.ToolCall, error) {
	text := q.Text
	if q.Call != nil {
		call := recorder.Resume(*q.Call)
		if err := call.Approved(); err != nil {
			return "", nil, err
		}
		if q.Approval.Approved {
			return text, call, nil
		}
		if err := call.Denied(q.Approval.Reason); err != nil {
			return "", nil, err
		}
		text = strings.ToValidUTF8(text[:longText], "")
	}
	call, err := message.Tool("word_statistics", map[string]int{"characters": utf8.RuneCountInString(text)})
	return text, call, err
}

// each is the time that each word of a text takes.
func (a *Answers) each(text string) time.Duration {
	return min(a.pace, longest/time.Duration(1+strings.Count(text, " ")))
}

// say writes a text word by word.
func say(ctx context.Context, w io.StringWriter, text string, each time.Duration) error {
	tick := time.NewTicker(each)
	defer tick.Stop()
	for word := range strings.SplitAfterSeq(text, " ") {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, err := w.WriteString(word); err != nil {
			return err
		}
	}
	return nil
}

// Drop records that an analysis which has waited for approval will not be made.
func (a *Answers) Drop(ctx context.Context, call db.Tool) (err error) {
	recorder := activities.NewRecorder(ctx, a.writer)
	defer func() { err = recorder.End(err) }() //nolint:contextcheck // the recorder has it
	return recorder.Resume(call).Denied("stopped")
}
