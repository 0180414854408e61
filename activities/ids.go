package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.temporal.io/sdk/activity"
)

// deriveID derives an id that is the same in every attempt of an activity and differs between activities: 128 bits of a
// SHA-256.
//
// An activity id is unique only among the pending activities of a run: a workflow that sets it may reuse it when the
// activity has ended. The time at which the activity was scheduled distinguishes the two. It is the time of the event in the
// workflow's history, in nanoseconds, and the same for all attempts. The number of that event would be better, but is only
// in the task token, whose format is internal to the server and which differs between attempts. A reset of the workflow
// creates a run with a new id, and so does each start of an activity without a workflow.
//
// The scheduled time of a local activity is when its worker started it, so it is not part of the id. It is not needed: the
// SDK numbers local activities separately, and their ids cannot be set.
func deriveID(info activity.Info, index int) string {
	var scheduled int64
	if !info.IsLocalActivity && info.ActivityRunID == "" {
		scheduled = info.ScheduledTime.UnixNano()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %t %d %d", info.WorkflowExecution.ID, info.WorkflowExecution.RunID,
		info.ActivityID, info.ActivityRunID, info.IsLocalActivity, scheduled, index))
	return hex.EncodeToString(sum[:16])
}
