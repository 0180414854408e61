package program

import (
	"strings"

	"chatfeed/rpc"
)

// Allow is the flags for what clients may do to workflows through ChatService, besides chatting with them.
type Allow struct {
	AllowStart     []string `help:"Workflow type that clients may start, with its task queue if that is not --chat-task-queue; may be repeated." placeholder:"TYPE[=TASKQUEUE]"`
	AllowWorkflow  []string `help:"Workflow type that clients may not start, but reach like --chat-workflow and those of --allow-start; may be repeated." placeholder:"TYPE"`
	AllowSignal    []string `help:"Signal that clients may send; may be repeated." placeholder:"NAME"`
	AllowUpdate    []string `help:"Update that clients may call; may be repeated." placeholder:"NAME"`
	AllowQuery     []string `help:"Query that clients may make; may be repeated." placeholder:"NAME"`
	AllowTerminate bool     `help:"Clients may terminate workflows, which then cannot record how they end."`
}

// names returns what clients may call.
func (a Allow) names() rpc.Allowed {
	allowed := rpc.Allowed{Signals: a.AllowSignal, Updates: a.AllowUpdate, Queries: a.AllowQuery, Terminate: a.AllowTerminate}
	for _, start := range a.AllowStart {
		name, _, _ := strings.Cut(start, "=")
		allowed.Types = append(allowed.Types, name)
	}
	return allowed
}

// queues returns the task queue of each workflow type that may be started, and checks the other names. The error is a usage error.
func (a Allow) queues(usual string) (map[string]string, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	queues := make(map[string]string)
	for _, start := range a.AllowStart {
		name, queue, given := strings.Cut(start, "=")
		if !given {
			queue = usual
		}
		other, twice := queues[name]
		switch {
		case name == "" || queue == "":
			return nil, usagef("--allow-start: %q lacks a name; TYPE or TYPE=TASKQUEUE is accepted", start)
		case twice && other != queue:
			return nil, usagef("--allow-start: the type %q has two task queues, %q and %q; one is accepted", name, other, queue)
		}
		queues[name] = queue
	}
	return queues, nil
}

// check refuses empty names.
func (a Allow) check() error {
	for flag, names := range map[string][]string{
		"--allow-workflow": a.AllowWorkflow, "--allow-signal": a.AllowSignal, "--allow-update": a.AllowUpdate, "--allow-query": a.AllowQuery,
	} {
		for _, name := range names {
			if name == "" {
				return usagef("%s: a name is empty; the name that the workflow's code uses is accepted", flag)
			}
		}
	}
	return nil
}
