package rpc

import (
	"context"
	"errors"

	v1 "chatfeed/rpc/chatfeedv1"
)

// About is what GetStatus says besides what the server finds out itself.
type About struct {
	Version string // for people
	// TemporalUI is where Temporal's UI shows a workflow, up to the id. Empty if there is no UI that clients can open.
	TemporalUI string
	// DatabaseURL is the database's address for everyone who can reach the server. It is for a stack to try chatfeed with; leave it
	// empty where the database is worth protecting.
	DatabaseURL string
	// ChatAway returns why Chat is not available yet, or an empty string when it is. A nil ChatAway means that it is.
	ChatAway func() string
}

// GetStatus implements the RPC of that name.
func (s *feedService) GetStatus(ctx context.Context, _ *v1.GetStatusRequest) (*v1.GetStatusResponse, error) {
	response := &v1.GetStatusResponse{
		Database:    &v1.Availability{Available: true},
		Chat:        &v1.Availability{Available: true},
		TemporalUi:  s.About.TemporalUI,
		Version:     s.About.Version,
		DatabaseUrl: s.About.DatabaseURL,
	}
	if err := (&health{Config: s.Config}).check(ctx); err != nil {
		s.Log.DebugContext(ctx, "not ready", "error", err)
		response.Database = &v1.Availability{Reason: notReady(err)}
	}
	if s.Chat == nil {
		response.Chat = &v1.Availability{Reason: "this server does not offer ChatService"}
	} else if s.About.ChatAway != nil {
		if reason := s.About.ChatAway(); reason != "" {
			response.Chat = &v1.Availability{Reason: reason}
		}
	}
	return response, nil
}

// notReady says to clients why the server is not ready.
func notReady(err error) string {
	var away *AwayError
	if errors.As(err, &away) {
		return away.Reason
	}
	return unavailable(err)
}
