"""Processes that do one job after the other, each job asked for and answered over a pipe.

A pool of the standard library goes on without end when its owner is killed, or waits for ever when
a worker is. Here a worker ends when the pipe to its owner breaks, and the owner learns of a worker
that died, and starts another.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")

# Nothing is inherited: with another's end of its pipe open, a worker would never see it break.
_SPAWN = multiprocessing.get_context("spawn")


def run_jobs(
    work: Callable[[Job], Answer], jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Answer | None]]:
    """Each job with its answer, in the order in which they are done; None when its process died.

    `work` is a function of a module. One process is this one.
    """
    if processes == 1:
        for job in jobs:
            yield job, work(job)
        return
    left = iter(jobs)
    busy: dict[Connection, Job] = {}
    for job in islice(left, processes):
        busy[_start(work, job)] = job
    try:
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection), "nothing else is waited for"
                job = busy.pop(pipe)
                following = next(left, None)
                answer: Answer | None = None
                try:
                    answer = pipe.recv()
                    if following is not None:
                        pipe.send(following)
                        busy[pipe] = following
                except (EOFError, OSError):
                    if following is not None:
                        busy[_start(work, following)] = following
                yield job, answer
    finally:
        for pipe in busy:
            pipe.close()


def _start(work: Callable[[Job], Answer], job: Job) -> Connection:
    """A new worker that has been given its first job."""
    ours, theirs = _SPAWN.Pipe()
    _SPAWN.Process(target=_serve, args=(work, theirs), daemon=True).start()
    theirs.close()
    ours.send(job)
    return ours


def _serve(work: Callable[[Job], Answer], pipe: Connection) -> None:
    """A worker: do jobs until nobody asks any more."""
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        answer = work(job)
        try:
            pipe.send(answer)
        except OSError:
            return
