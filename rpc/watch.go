package rpc

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	"chatfeed/feed"
	"chatfeed/feed/directory"
	v1 "chatfeed/rpc/chatfeedv1"
)

// WatchWorkflows implements the RPC of that name.
func (s *feedService) WatchWorkflows(
	ctx context.Context, request *v1.WatchWorkflowsRequest, stream *connect.ServerStream[v1.WatchWorkflowsResponse],
) error {
	if err := s.watch(ctx, request, stream); err != nil {
		return public(ctx, s.Log, err)
	}
	return nil
}

func (s *feedService) watch(
	ctx context.Context, request *v1.WatchWorkflowsRequest, stream *connect.ServerStream[v1.WatchWorkflowsResponse],
) error {
	size, err := pageSize(request.GetPageSize())
	if err != nil {
		return err
	}
	if s.Directory == nil {
		return errNoDirectory
	}
	leave, err := countStream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	disableBuffering(stream.Conn().ResponseHeader())
	if err := stream.Send(nil); err != nil { // the headers
		return err
	}
	watch := s.Directory.Watch(ctx, directory.Options{Size: size, Readable: s.viewer(ctx).CanRead, Idle: s.Heartbeat})
	defer watch.Close()
	for {
		update, err := watch.Next()
		if err != nil {
			return err
		}
		if err := stream.Send(watchResponse(update)); err != nil {
			return err
		}
	}
}

// errNoDirectory refuses to watch the list of workflows where none is kept.
var errNoDirectory = errors.New("the server keeps no list of workflows")

func watchResponse(update directory.Update) *v1.WatchWorkflowsResponse {
	response := &v1.WatchWorkflowsResponse{Anew: update.Anew, UpToDate: update.UpToDate}
	if update.Next != (feed.Workflow{}) {
		response.NextPageToken = formatToken(update.Next)
	}
	response.Workflows = workflowMessages(update.Workflows)
	for _, id := range update.Gone {
		response.Gone = append(response.Gone, validText(id))
	}
	return response
}

// workflowMessages orders workflows by head, newest first.
func workflowMessages(workflows []feed.Workflow) []*v1.Workflow {
	slices.SortStableFunc(workflows, func(a, b feed.Workflow) int { return cmp.Compare(b.Head, a.Head) })
	messages := make([]*v1.Workflow, len(workflows))
	for i, w := range workflows {
		messages[i] = &v1.Workflow{
			Id: validText(w.ID), Head: timestamp(w.Head), Status: validText(w.Status), Progress: w.Progress, Final: w.Final,
		}
	}
	return messages
}

// pageSize is how many workflows are asked for.
func pageSize(requested int32) (int, error) {
	size := int(requested)
	err := checkCount("page_size", &size, 0, maxListed)
	return cmp.Or(size, 50), err
}
