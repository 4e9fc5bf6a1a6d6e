"""Schedulers: one that exists, asked what it is, and one that is started for a search."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, Scheduler, rpc
from distributed.deploy.spec import SpecCluster
from distributed.security import Security

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.search.cluster.cores import running_on
from paretune.search.cluster.versions import (
    PACKAGES,
    TALKING,
    Versions,
    installed,
    reported,
    require_alike,
)

CONNECT_S = 10.0
"""To wait for a scheduler: it may just be starting, too."""

_METADATA = "paretune"
_SETTINGS: dict[str, Any] = {
    # A worker here that died is noticed at once; after a laptop's suspend, none was heard of.
    "distributed.scheduler.worker-ttl": None,
    # Nobody asks over HTTP, which knows no credentials.
    "distributed.scheduler.http.routes": [],
}


@dataclass(frozen=True)
class SearchNotice:
    """What a search tells those who join its scheduler.

    Attributes:
        machine: identifies where it runs.
        kept: cores of that machine that others keep off.
        versions: that workers must have.
    """

    machine: str
    kept: tuple[int, ...] = ()
    versions: Versions = field(default_factory=installed)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"machine": self.machine, "kept": list(self.kept), "versions": dict(self.versions)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "SearchNotice":
        """What `to_dict` gave."""
        return SearchNotice(data["machine"], tuple(data["kept"]), data["versions"])


def ask_scheduler(address: str, security: Security) -> SearchNotice | None:
    """See that there is a scheduler that one can work with.

    Returns:
        what a search that uses it tells; None if there is no search.

    Raises:
        UserError: nothing answers there, something else does, or its versions are others.
    """
    tls = security.get_tls_config_for_role("client")
    if address.startswith("tls://") and not (tls["ca_file"] and tls["cert"]):
        raise UserError(
            f"{address} needs certificates, which Dask's configuration names: ca-file, and cert and"
            " key of client and worker, below distributed.comm.tls (in ~/.config/dask/*.yaml)"
        )
    try:
        # A thread of its own: whoever calls may have an event loop already, as notebooks do.
        with ThreadPoolExecutor(1) as thread:
            kind, versions, notice = thread.submit(asyncio.run, _ask(address, security)).result()
    except TimeoutError:
        raise UserError(
            f"no Dask scheduler at {address}: nothing answers within {CONNECT_S:g} s; start one"
            " with `dask scheduler`"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever is there may answer anything
        raise UserError(
            f"no Dask scheduler at {address}: {_reason(error)}; start one with `dask scheduler`"
        ) from None
    if kind != "Scheduler":
        raise UserError(
            f"what answers at {address} is a Dask {kind.lower()}; use the address of its scheduler"
        )
    require_alike(installed(), versions, f"the scheduler at {address}", TALKING)
    return None if notice is None else SearchNotice.from_dict(notice)


@contextmanager
def announced(client: Client, kept: Sequence[int]) -> Iterator[None]:
    """Those who join the scheduler are told of this search meanwhile."""
    client.set_metadata([_METADATA], SearchNotice(machine_id(), tuple(kept)).to_dict())
    try:
        yield
    finally:
        # A scheduler that has gone has forgotten it, too.
        if client.status == "running":
            with suppress(OSError, RuntimeError, TimeoutError):
                client.set_metadata([_METADATA], None)


def check_workers(client: Client) -> None:
    """See that the workers that are there have the versions that are here.

    Raises:
        UserError: one has others.
    """
    told: Any = client.get_versions(packages=list(PACKAGES))
    for address, worker in told["workers"].items():
        require_alike(installed(), reported(worker["packages"]), f"the worker at {address}")


@contextmanager
def own_scheduler(security: Security, cores: Sequence[int]) -> Iterator[SpecCluster]:
    """A scheduler in this process, on the loopback device, for those who have the credentials.

    Args:
        cores: where it runs.
    """
    options = {
        "host": "127.0.0.1",
        "port": 0,
        "protocol": "tls://",
        "security": security,
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
    }
    with dask.config.set(_SETTINGS), running_on(cores):
        cluster = SpecCluster(
            workers={}, scheduler={"cls": Scheduler, "options": options}, security=security
        )
    with cluster:
        yield cluster


async def _ask(address: str, security: Security) -> tuple[str, Versions, dict[str, Any] | None]:
    async def ask() -> tuple[str, Versions, dict[str, Any] | None]:
        arguments = security.get_connection_args("client")
        async with rpc(address, timeout=0.8 * CONNECT_S, connection_args=arguments) as there:
            kind = (await there.identity())["type"]
            if kind != "Scheduler":
                return kind, {}, None
            told = await there.versions(packages=[])
            notice = await there.get_metadata(keys=[_METADATA], default=None)
            return kind, reported(told["packages"]), notice

    # What accepts a connection and then says nothing is waited for without end otherwise.
    return await asyncio.wait_for(ask(), CONNECT_S)


def _reason(error: BaseException) -> str:
    """What an error comes from in the end: Dask only says how long it has tried."""
    found = str(error)
    while error.__cause__ is not None:
        error = error.__cause__
        # A try that was cut off says nothing.
        found = str(error) or found
    return found or type(error).__name__
