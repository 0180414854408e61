"""Runs the activity for a workflow and a question, up to twice, as Temporal does, and prints what it comes to."""

import sys

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities import answer

workflow, question = sys.argv[1:]
for attempt in (1, 2):
    activity.current.set(activity.Info(workflow, "run", "7", attempt))
    try:
        print("returned", ascii(answer(question)))
        break
    except CancelledError as error:
        print("cancelled", error)
        break
    except Exception as error:
        print("failed", type(error).__name__, error)
        if isinstance(error, ApplicationError) and error.non_retryable:
            break
print("heartbeats" if activity.heartbeats else "no heartbeats")
