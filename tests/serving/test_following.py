"""The end of tasks that follow something."""

import asyncio
from contextlib import suppress

import pytest

from serving import following

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def deaf(times: int, heard: list[int]) -> None:
    """Takes so many cancellations for something else."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard.append(times)
            if len(heard) > times:
                raise


async def failing() -> None:
    await asyncio.sleep(0)
    raise ValueError


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_loses_cancellations_ends_all_the_same(times: int) -> None:
    heard: list[int] = []
    tasks = [asyncio.create_task(deaf(times, heard)), asyncio.create_task(failing())]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        await following.end(tasks)
    assert len(heard) == times + 1
    assert all(task.done() for task in tasks)
    with suppress(ValueError):
        tasks[1].result()


async def test_nothing_to_end_is_ended() -> None:
    await following.end([])
