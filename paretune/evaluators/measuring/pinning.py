"""On which CPUs the measuring process runs."""

import os

from paretune.errors import UserError
from paretune.evaluators.measuring.job import Setup


def pin(setup: Setup) -> None:
    """Pin this process; threads that are started later inherit it. Nothing where it cannot be done.

    Without `cpus` the last ones are taken: the first ones serve most interrupts.

    Raises:
        UserError: CPUs that this process may not use.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    chosen = setup.cpus or tuple(allowed[-setup.threads :])
    if unknown := [cpu for cpu in chosen if cpu not in allowed]:
        raise UserError(
            f"'cpus' holds {', '.join(map(str, unknown))}, but a measuring process here may use"
            f" only {', '.join(map(str, allowed))}"
        )
    os.sched_setaffinity(0, chosen)
