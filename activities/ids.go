package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.temporal.io/sdk/activity"
)

// deriveID makes an id that is the same in every attempt of an activity and differs from that of any other: 128 bits of
// a SHA-256.
//
// An activity id is unique among the pending activities of a run only: a workflow that gives it itself may use it again
// when the activity has ended. The time at which the activity was scheduled tells the two apart. It is that of the event
// in the workflow's history, in nanoseconds, which all attempts share. The number of that event would do, but is only in
// the task token, whose form is the server's own and which differs between attempts. A reset of the workflow makes a run
// with an id of its own, and so does each start of an activity without a workflow.
//
// The scheduled time of a local activity is when its worker got to it, so it is not part of the id. It is not needed
// either: the SDK counts local activities, apart from the others, and takes no id for them.
func deriveID(info activity.Info, index int) string {
	var scheduled int64
	if !info.IsLocalActivity && info.ActivityRunID == "" {
		scheduled = info.ScheduledTime.UnixNano()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %t %d %d", info.WorkflowExecution.ID, info.WorkflowExecution.RunID,
		info.ActivityID, info.ActivityRunID, info.IsLocalActivity, scheduled, index))
	return hex.EncodeToString(sum[:16])
}
