"""The process that looks after workers: `python -m paretune.search.cluster.nannies STAFF.json`.

Every worker is a process with a nanny here, which starts it again when it dies. The owner is told
`ready` when all have begun, and `left REASON` when nobody wants the last one any more.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import dask
from distributed import Nanny
from distributed.utils import get_ip

from paretune.evaluators.processes.serving import ended_with_owner
from paretune.importing import describe
from paretune.search.cluster.address import split_address
from paretune.search.cluster.credentials import security
from paretune.search.cluster.pinned import PinnedWorker
from paretune.search.cluster.staff import Staff

_START_S = 120.0
_CLOSE_S = 2.0
_PAUSE_S = 5.0
_SETTINGS = {
    # They cost time at every moment, to tell nobody.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.http.routes": [],
}


class _Nanny(Nanny):
    """Knows whether it ends because nobody wants its worker any more.

    Attributes:
        dismissed: the reason; None while it is wanted.
    """

    dismissed: str | None = None

    def close_gracefully(self, reason: str = "unknown") -> None:
        self.dismissed = reason
        super().close_gracefully(reason)


async def employ(staff: Staff, tell: Callable[[str], None]) -> None:
    """Run the workers until nobody wants them.

    Args:
        tell: is told when all have begun, and when they have left.

    Raises:
        ExceptionGroup: one cannot begin at all.
    """
    began = [asyncio.Event() for _ in staff.cores]
    async with asyncio.TaskGroup() as group:
        places = [group.create_task(_keep(staff, n, event)) for n, event in enumerate(began)]
        for event in began:
            await event.wait()
        tell("ready")
    tell(f"left {places[-1].result()}")


async def _keep(staff: Staff, number: int, began: asyncio.Event) -> str:
    """Keep one worker at work.

    Returns:
        why it has left.
    """
    while True:
        nanny = _Nanny(
            staff.scheduler,
            # Otherwise workers listen on all networks.
            host=get_ip(*split_address(staff.scheduler)),
            nthreads=1,
            name=None if staff.name is None else f"{staff.name}-{number}",
            local_directory=staff.folder,
            # Who evaluates candidates has a limit of its own.
            memory_limit=0,
            death_timeout=_START_S,
            silence_logs=logging.WARNING,
            security=security(staff.credentials),
            worker_class=PinnedWorker,
            cores=staff.cores[number],
            dashboard=False,
        )
        try:
            await nanny
            began.set()
            await nanny.finished()  # type: ignore[no-untyped-call]
        except Exception:
            if not began.is_set():
                raise
            logging.getLogger(__name__).exception("a worker could not begin again")
        finally:
            await nanny.close(timeout=_CLOSE_S)
        if nanny.dismissed is not None:
            return nanny.dismissed
        # The machine may have been short of something.
        await asyncio.sleep(_PAUSE_S)


async def _until_told(staff: Staff, tell: Callable[[str], None]) -> None:
    work = asyncio.create_task(employ(staff, tell))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    # Cancelled, it has ended the workers.
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()


def main() -> None:
    """Work until told to end, or nobody wants the workers, or the owner is gone."""
    staff = Staff.read(Path(sys.argv[1]))
    events = os.fdopen(os.dup(1), "w")
    # Workers may print, and nobody reads that.
    os.dup2(2, 1)

    def tell(event: str) -> None:
        print(event, file=events, flush=True)

    logging.getLogger("distributed").setLevel(logging.WARNING)
    try:
        with dask.config.set(_SETTINGS), ended_with_owner():
            asyncio.run(_until_told(staff, tell))
    except ExceptionGroup as group:
        sys.exit(describe(group.exceptions[0]))


if __name__ == "__main__":
    main()
