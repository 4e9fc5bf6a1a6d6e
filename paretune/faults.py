"""Faults of the machine, told from bugs by what the system says."""

import errno
from collections.abc import Iterator

from paretune.errors import MachineError, ParetuneError

_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "it is not permitted",
    errno.EFBIG: "the file is larger than is allowed (`ulimit -f`)",
    errno.EMFILE: "this process has too many open files (`ulimit -n`)",
    errno.ENFILE: "the system has too many open files",
    errno.EIO: "the disk or the network drive fails",
    errno.ESTALE: "the network drive fails",
    errno.ENOMEM: "there is not enough memory",
    errno.EAGAIN: "there are too many processes or threads (`ulimit -u`)",
}


def machine_error(error: BaseException) -> MachineError | None:
    """What to raise instead of an error, if it or what caused it is a fault of the machine."""
    if isinstance(error, ParetuneError):
        return error if isinstance(error, MachineError) else None
    for one in _causes(error):
        if (what := _fault(one)) is not None:
            return MachineError(f"{what}; once that is remedied, the same command goes on")
    return None


def _fault(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return _FAULTS[errno.ENOMEM]
    if not isinstance(error, OSError):
        return None
    # A directory for temporary files is looked for by trying, whatever goes wrong.
    if error.errno == errno.ENOENT and "No usable temporary directory" in str(error):
        return "no temporary file can be written (the disk is full, or too many files are open)"
    what = _FAULTS.get(error.errno or 0)
    return what if what is None or not error.filename else f"{what}: '{error.filename}'"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
