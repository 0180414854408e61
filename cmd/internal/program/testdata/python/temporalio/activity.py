import contextvars
import dataclasses
import os


@dataclasses.dataclass
class Info:
    workflow_id: str
    workflow_run_id: str
    activity_id: str
    attempt: int


@dataclasses.dataclass
class Details:
    cancel_requested: bool


# As in the SDK, only threads with the activity's context find it.
current: contextvars.ContextVar[Info] = contextvars.ContextVar("activity")
heartbeats = 0


def defn(no_thread_cancel_exception=False):
    assert no_thread_cancel_exception
    return lambda f: f


def info():
    return current.get()


def heartbeat():
    global heartbeats
    current.get()
    heartbeats += 1


def cancellation_details():
    workflow = current.get().workflow_id
    for reason, requested in (("cancelled", True), ("lost", False)):
        if os.path.exists(f"{os.environ['GATES']}/{workflow}.{reason}"):
            return Details(requested)
    return None
