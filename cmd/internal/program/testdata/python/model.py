"""Stands for a model. It says what a test has in store for the question."""

import os
import time

from temporalio import activity
from temporalio.exceptions import ApplicationError


def ask(question):
    info = activity.info()
    if question == "fail first" and info.attempt == 1:
        yield "The wro"
        raise RuntimeError("the model has failed")
    if question == "fail for good":
        yield "Sorry"
        raise ApplicationError("no such model", non_retryable=True)
    if question == "never end":
        yield "Once"
        while True:
            time.sleep(0.02)
            yield ""
    if question == "be refused":
        yield "x"
        yield "x" * (2 << 20)
    for word in ["The quick ", "\U0001f98a jumps\0 ", "over the \ud83e", "lazy dog."]:
        yield word
        time.sleep(0.06)
    while not os.path.exists(f"{os.environ['GATES']}/{info.workflow_id}"):  # until the test has seen it grow
        time.sleep(0.02)
    yield " The end."
