"""Several worker processes behind one address: started, watched, and stopped together."""

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

from fastapi import FastAPI

from serving import logs, process
from serving.settings import ServingSettings

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
RESTART_SECONDS = 1.0
"""Between two restarts: a worker that cannot start must not eat a core."""
SPARE_SECONDS = 5.0
"""What a worker has to close the feed, after its requests."""
FAILED = 3
"""uvicorn's exit code for an app that did not start"""


def supervise(
    make: Callable[[], FastAPI],
    listener: socket.socket,
    settings: ServingSettings,
    *,
    workers: int,
    numbers: str,
) -> int:
    """Keep so many workers alive until SIGTERM or SIGINT; returns the exit code.

    numbers: the folder of their counters, which goes when the last of them goes.

    Each makes the app for itself, in a new interpreter: a fork would inherit the locks of thread
    pools (polars, OpenMP) without their threads. The model is shared all the same, by its
    mapped files. All take connections from one queue, so a dead worker loses none that wait.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    spawn = multiprocessing.get_context("spawn")
    once_warm = spawn.Event()

    def started(number: int) -> SpawnProcess:
        worker = spawn.Process(
            target=_work,
            args=(make, listener, settings, once_warm, numbers),
            name=f"worker {number}",
        )
        worker.start()
        return worker

    crew = [started(number) for number in range(workers)]
    begun = time.monotonic()
    try:
        while not stopping.is_set():
            wait([worker.sentinel for worker in crew], timeout=LOOK_SECONDS)
            for place, worker in enumerate(crew):
                if worker.is_alive() or stopping.is_set():
                    continue
                if not once_warm.is_set():
                    log.error("no worker could start (exit code %s)", worker.exitcode)
                    return FAILED
                log.error("%s died (exit code %s), starting it anew", worker.name, worker.exitcode)
                stopping.wait(max(0.0, begun + RESTART_SECONDS - time.monotonic()))
                begun = time.monotonic()
                crew[place] = started(place)
        return 0
    finally:
        listener.close()  # held open here, it would take connections that nobody answers
        _stop(crew, seconds=settings.stop_notice_seconds + settings.stop_seconds + SPARE_SECONDS)


def _stop(crew: list[SpawnProcess], *, seconds: float) -> None:
    for worker in crew:
        if worker.is_alive():
            worker.terminate()
    until = time.monotonic() + seconds
    for worker in crew:
        worker.join(max(0.0, until - time.monotonic()))
        if worker.is_alive():
            log.error("%s does not stop, ending it", worker.name)
            worker.kill()
            worker.join()


def _work(
    make: Callable[[], FastAPI],
    listener: socket.socket,
    settings: ServingSettings,
    once_warm: Event,
    numbers: str,
) -> None:
    """The life of one worker."""
    logs.configure(settings.log_format)
    threading.Thread(target=_end_with_parent, args=(numbers,), daemon=True).start()
    process.answer(make(), listener, settings, started=once_warm.set)


def _end_with_parent(numbers: str) -> None:
    """A supervisor that was killed cannot stop its workers, and they would keep the port; nor can
    it tidy up."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    log.error("the supervisor is gone, stopping")
    shutil.rmtree(numbers, ignore_errors=True)  # what is mapped stays usable until they end
    os.kill(os.getpid(), signal.SIGTERM)
