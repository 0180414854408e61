package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"chatfeed/cmd/dev/internal/demo"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func dialTemporal(t *testing.T) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: shared.Temporal})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// nobody starts a workflow that no worker runs.
func nobody(t *testing.T, c client.Client, id, workflow string) {
	t.Helper()
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "nobody"}, workflow)
	require.NoError(t, err)
}

func TestAWorkflowOfAnotherTypeIsNotFoundAndNotTouched(t *testing.T) {
	t.Parallel()
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, shared.Server)
	c := dialTemporal(t)
	nobody(t, c, "wf_foreign", "Payroll")

	_, none := chat.CancelWorkflow(t.Context(), &v1.CancelWorkflowRequest{WorkflowId: "wf_none"})
	_, cancelled := chat.CancelWorkflow(t.Context(), &v1.CancelWorkflowRequest{WorkflowId: "wf_foreign"})
	_, sent := chat.SendMessage(t.Context(), &v1.SendMessageRequest{WorkflowId: "wf_foreign", Text: "Hello."})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(none))
	require.Equal(t, none.Error(), cancelled.Error(), "like one that does not exist")
	require.Equal(t, none.Error(), sent.Error())

	events := c.GetWorkflowHistory(t.Context(), "wf_foreign", "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		require.Contains(t, []enums.EventType{
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
		}, event.GetEventType())
	}
}

func TestAMessageWithAnyCharactersIsAccepted(t *testing.T) {
	t.Parallel()
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, shared.Server)
	pool := openPool(t, shared.DatabaseURL)
	for id, text := range map[string]string{
		"plain":         strings.Repeat("a", 1<<20),
		"<":             strings.Repeat("<", 700<<10),
		"control":       strings.Repeat("\x01", 1<<20),
		"Привет":        strings.Repeat("\u2028", 1<<20/3),
		"消息-1":          "界",
		"😀 of a family": "👨‍👩‍👧",
	} {
		workflow := "wf_characters_" + id
		_, err := chat.SendMessage(t.Context(), &v1.SendMessageRequest{WorkflowId: workflow, Text: text, Id: id})
		require.NoError(t, err, id)
		waitFor(t, func() bool {
			var recorded bool
			require.NoError(t, pool.QueryRow(t.Context(), `select exists (select from chatfeed.messages
				where workflow_id = $1 and id = $2 and role = 'user' and message = $3)`, workflow, id, text).Scan(&recorded))
			return recorded
		}, "message %q to be recorded", id)
	}
}

// Every message that is acknowledged must be recorded, so no more are taken than a run can handle.
func TestAWorkflowWithTooMuchToHandleRefusesMessages(t *testing.T) {
	t.Parallel()
	c := dialTemporal(t)
	nobody(t, c, "wf_full", demo.WorkflowName)
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, shared.Server)
	errs := make([]error, 30)
	var sending sync.WaitGroup
	for i := range errs {
		sending.Go(func() {
			_, errs[i] = chat.SendMessage(t.Context(), &v1.SendMessageRequest{
				WorkflowId: "wf_full", Text: strings.Repeat("a", 1<<20), Id: fmt.Sprint(i),
			})
		})
	}
	sending.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
			continue
		}
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), err)
		require.ErrorContains(t, err, "the workflow has too many messages to handle; try again in 2 seconds")
		var refused *connect.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, []string{"2"}, refused.Meta().Values("Retry-After"))
	}
	require.Equal(t, 9, taken, "ten megabytes with all else")
	found, err := c.DescribeWorkflowExecution(t.Context(), "wf_full", "")
	require.NoError(t, err)
	require.LessOrEqual(t, found.GetWorkflowExecutionInfo().GetHistorySizeBytes(), int64(10<<20))
}

func TestEveryAcknowledgedMessageIsRecorded(t *testing.T) {
	t.Parallel()
	chat := chatfeedv1connect.NewChatServiceClient(http.DefaultClient, shared.Server)
	pool := openPool(t, shared.DatabaseURL)
	const n = 24
	var sent []string
	for i := range n {
		id := fmt.Sprint(i)
		sent = append(sent, id)
		waitFor(t, func() bool {
			_, err := chat.SendMessage(t.Context(), &v1.SendMessageRequest{
				WorkflowId: "wf_much", Text: strings.Repeat("The sea is wide. ", 1<<20/17), Id: id,
			})
			if err != nil {
				require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), err)
			}
			return err == nil
		}, "message %s to be taken", id)
	}
	var recorded []string
	require.Eventually(t, func() bool {
		require.NoError(t, pool.QueryRow(t.Context(), `select coalesce(array_agg(id order by "_createdAt"), '{}') from chatfeed.messages
			where workflow_id = 'wf_much' and role = 'user'`).Scan(&recorded))
		return len(recorded) == n
	}, 2*time.Minute, 100*time.Millisecond)
	require.True(t, slices.Equal(sent, recorded), "%v", recorded)
}
