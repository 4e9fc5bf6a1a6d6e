"""A Dask worker that stays on its cores, with all that it starts."""

import os
from collections.abc import Sequence
from typing import Any

from distributed import Worker


class PinnedWorker(Worker):
    """Starts on cores of its own."""

    def __init__(self, *args: Any, cores: Sequence[int], **options: Any) -> None:
        # Before it has threads: they inherit it.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        super().__init__(*args, **options)
