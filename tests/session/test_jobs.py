import threading
import time
from queue import SimpleQueue

import numpy as np
import pytest

from napari_mobilesam.core.errors import CancelledError
from napari_mobilesam.session.jobs import Jobs


class Task:
    """Waits at its gate, reports progress at every step, returns its name."""

    def __init__(self, name, steps=1):
        self.name = name
        self.steps = steps
        self.started = threading.Event()
        self.gate = threading.Event()

    def run(self, progress):
        self.started.set()
        assert self.gate.wait(10)
        for step in range(self.steps):
            progress(step, self.steps)
        return self.name


class Broken:
    def run(self, progress):  # noqa: ARG002
        raise ValueError("broken")


class Log(list):
    def callbacks(self):
        return {
            "on_result": lambda result: self.append(("result", result)),
            "on_error": lambda error: self.append(("error", type(error))),
            "on_progress": lambda done, total: self.append(("progress", done, total)),
        }


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def jobs():
    jobs = Jobs(lambda call: call())
    yield jobs
    jobs.join(10)
    assert not any(t.name == "mobilesam-jobs" for t in threading.enumerate())


def test_results_progress_and_errors_are_delivered(jobs, log):
    task = Task("a", steps=2)
    task.gate.set()
    jobs.submit("work", task, **log.callbacks())
    assert jobs.wait(10)
    jobs.submit("work", Broken(), **log.callbacks())
    assert jobs.wait(10)
    jobs.join()
    assert log == [("progress", 0, 2), ("progress", 1, 2), ("result", "a"), ("error", ValueError)]


def test_the_newest_of_a_kind_wins(jobs, log):
    tasks = [Task(str(i)) for i in range(4)]
    for task in tasks:
        task.gate.set()
    tasks[0].gate.clear()
    other = Task("other")
    other.gate.set()
    jobs.submit("work", tasks[0], **log.callbacks())
    assert tasks[0].started.wait(10)
    jobs.submit("else", other, **log.callbacks())
    for task in tasks[1:]:
        jobs.submit("work", task, **log.callbacks())
    tasks[0].gate.set()
    assert jobs.wait(10)
    jobs.join()
    assert [entry[1] for entry in log if entry[0] == "result"] == ["other", "3"]
    assert not any(task.started.is_set() for task in tasks[1:3])
    assert ("error", CancelledError) not in log


def test_cancelled_work_says_so_once_and_delivers_nothing_else(jobs, log):
    running, waiting = Task("running"), Task("waiting")
    jobs.submit("a", running, **log.callbacks())
    assert running.started.wait(10)
    jobs.submit("b", waiting, **log.callbacks())
    assert jobs.busy("a")
    assert jobs.busy("b")
    for kind in ("a", "b", "a"):
        jobs.cancel(kind)
    running.gate.set()
    assert jobs.wait(10)
    assert not jobs.busy()
    assert log == [("error", CancelledError)] * 2


def test_nothing_is_delivered_after_closing(log):
    calls = SimpleQueue()
    jobs = Jobs(calls.put)
    task = Task("late")
    jobs.submit("work", task, **log.callbacks())
    assert task.started.wait(10)
    threading.Timer(0.05, task.gate.set).start()
    jobs.join()
    jobs.submit("work", Task("later"), **log.callbacks())
    while not calls.empty():
        calls.get()()
    assert log == []


class Busy:
    """Reports progress until it is stopped."""

    def run(self, progress):
        for step in range(100_000):
            progress(step, 100_000)
            time.sleep(1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_stopped_whenever_no_thread_stays(seed, log):
    random = np.random.default_rng(seed)
    jobs = Jobs(lambda call: call())
    for _ in range(20):
        kind = str(random.integers(3))
        if random.random() < 0.6:
            jobs.submit(kind, Busy(), **log.callbacks())
        else:
            jobs.cancel(kind)
        time.sleep(float(random.uniform(0, 2e-3)))
    jobs.join(10)
    delivered = len(log)
    assert not any(t.name == "mobilesam-jobs" for t in threading.enumerate())
    assert {entry[1] for entry in log if entry[0] == "error"} <= {CancelledError}
    time.sleep(0.01)
    assert len(log) == delivered
