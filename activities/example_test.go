package activities_test

import (
	"log"
	"time"

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
