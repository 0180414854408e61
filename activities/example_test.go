package activities_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
)

// greet says hello. Its messages appear in the feed of its own workflow id.
func greet(ctx workflow.Context, name string) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           activities.TaskQueue, // where "chatfeed worker" is; leave it out with Register on your own worker
		StartToCloseTimeout: 10 * time.Second,
	})
	err := workflow.ExecuteActivity(ctx, activities.RecordProgress, activities.Progress{Progress: 10, Status: "greeting"}).Get(ctx, nil)
	if err != nil {
		return err
	}
	return workflow.ExecuteActivity(ctx, activities.RecordItems, activities.Items(
		activities.Message{Message: "Hello, " + name + "!"},
		activities.Progress{Progress: 100, Status: "done"},
	)).Get(ctx, nil)
}

// answer is an activity that streams a model's answer into the feed of its workflow. A retry of it supersedes what was said.
func answer(ctx context.Context, writer *db.Writer, model func(question string, to io.Writer) error, question string) (err error) {
	recorder := activities.NewRecorder(ctx, writer)
	defer func() { err = recorder.End(err) }()

	message := recorder.Message("assistant")
	if err := model(question, message); err != nil { // it appears as it is written
		return err
	}
	search, err := message.Tool("search", map[string]string{"query": question})
	if err != nil {
		return err
	}
	if err := search.Output([]string{"a page", "another"}); err != nil {
		return err
	}
	return message.Close("complete")
}

func ExampleRecorder() {
	var writer *db.Writer // db.NewWriter(pool)
	model := func(question string, to io.Writer) error {
		_, err := fmt.Fprintf(to, "You ask: %s", question)
		return err
	}
	w := worker.New(nil, "answers", worker.Options{})
	w.RegisterActivityWithOptions(func(ctx context.Context, question string) error {
		return answer(ctx, writer, model, question)
	}, activity.RegisterOptions{Name: "Answer"})
}

// A worker of one's own serves the activities beside one's workflows.
func ExampleRegister() {
	temporal, err := client.Dial(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer temporal.Close()
	var writer *db.Writer // db.NewWriter(pool)

	w := worker.New(temporal, "greetings", worker.Options{})
	w.RegisterWorkflow(greet)
	activities.Register(w, writer)
	if err := w.Run(worker.InterruptCh()); err != nil {
		log.Fatal(err)
	}
}
