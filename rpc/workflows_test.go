package rpc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// listed is all workflows, page by page, and how many pages there were.
func (s *server) listed(t *testing.T, size int32) (workflows []*v1.Workflow, pages int) {
	t.Helper()
	token := ""
	for {
		page, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{PageSize: size, PageToken: token})
		require.NoError(t, err)
		pages++
		workflows = append(workflows, page.GetWorkflows()...)
		if token = page.GetNextPageToken(); token == "" {
			return workflows, pages
		}
		require.Len(t, page.GetWorkflows(), int(size))
	}
}

func TestWorkflowsAreListedByNewestHeadAndEachOnceWhateverThePage(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	none, pages := s.listed(t, 10)
	require.Empty(t, none)
	require.Equal(t, 1, pages)

	at := func(n int) time.Time { return time.Date(2026, 1, 2, 3, n, 0, 1000, time.UTC) }
	insert := func(id string, head time.Time) {
		d.exec(t, `insert into chatfeed.progress (workflow_id, "_createdAt", progress, status) values ($1, $2, 1, $3)`, id, head, "of "+id)
		d.exec(t, `insert into chatfeed.workflows (id, active) values ($1, $2)`, id, head)
	}
	d.exec(t, `alter table chatfeed.progress disable trigger user`) // so that the heads are these
	insert("oldest", at(0))
	for i := range 7 { // of one head
		insert(fmt.Sprintf("same %d żółć", i), at(90))
	}
	insert("newest", at(300))
	insert("second", at(299))
	insert("before", at(89))
	insert("after", at(91))

	whole, pages := s.listed(t, 12) // exactly all of them
	require.Equal(t, 1, pages)
	var ids []string
	for _, w := range whole {
		ids = append(ids, w.GetId())
		require.Equal(t, "of "+w.GetId(), w.GetStatus())
	}
	require.Equal(t, []string{"newest", "second", "after"}, ids[:3])
	require.Equal(t, []string{"before", "oldest"}, ids[10:])
	require.Len(t, ids, 12)
	require.Equal(t, at(90), whole[5].GetHead().AsTime())
	for size := int32(1); size <= 12; size++ {
		workflows, pages := s.listed(t, size)
		var got []string
		for _, w := range workflows {
			got = append(got, w.GetId())
		}
		requireSame(t, ids, got, size)
		require.Equal(t, (len(ids)+int(size)-1)/int(size), pages)
	}
	byDefault, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{})
	require.NoError(t, err)
	require.Len(t, byDefault.GetWorkflows(), 12)
}

func TestAPageOfWorkflowsHas50UnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	asked := 0
	s := serve(t, &source{workflows: func(_ feed.Workflow, limit int) ([]feed.Workflow, error) {
		asked = limit
		workflows := make([]feed.Workflow, limit)
		for i := range workflows {
			workflows[i] = feed.Workflow{ID: fmt.Sprint(i), Head: 5, Active: 5}
		}
		return workflows, nil
	}}, config{})
	page, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{})
	require.NoError(t, err)
	require.Len(t, page.GetWorkflows(), 50)
	require.NotEmpty(t, page.GetNextPageToken())
	require.Equal(t, 51, asked)
}

func TestTheStatusOfAWorkflowIsThatOfItsLatestProgress(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	for _, step := range []struct {
		item db.Item
		want string
	}{
		{db.Log{WorkflowID: "wf", ID: "1"}, ""},
		{db.Progress{WorkflowID: "wf", ID: "2", Status: "running"}, "running"},
		{db.Message{WorkflowID: "wf", ID: "3", Status: "other"}, "running"},
		{db.Progress{WorkflowID: "wf", ID: "4", Progress: 100, Status: "done"}, "done"},
		{db.Progress{WorkflowID: "wf", ID: "2", Status: "running"}, "done"}, // a retry
	} {
		d.append(t, step.item)
		workflows, _ := s.listed(t, 10)
		require.Len(t, workflows, 1)
		require.Equal(t, step.want, workflows[0].GetStatus(), "%+v", step.item)
		head := workflows[0].GetHead().AsTime().UnixMicro()
		for _, at := range d.cursors(t, "wf") {
			require.LessOrEqual(t, at, head)
		}
	}
}
