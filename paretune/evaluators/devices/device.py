"""What every device is: something that runs measuring jobs, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paretune.evaluators.measuring.job import Job, Setup
from paretune.evaluators.measuring.result import Result

GROUP = "paretune.devices"
"""Entry points of this group are devices; the entry point's name is the `type:` in a config."""

SECTION_KEYS = ("type", "runtime", "runtime_options", "threads", "cpus", "profile")
"""That a config may give any device; none of them is an option of a plugin."""


@dataclass(frozen=True)
class DeviceSpec:
    """A device as the config names it; not connected yet.

    Attributes:
        name: ends the metrics' names if there are several.
        type: entry point in the group `paretune.devices`.
        options: of the plugin.
        setup: how it runs models.
    """

    name: str = "host"
    type: str = "local"
    options: Mapping[str, Any] = field(default_factory=dict)
    setup: Setup = field(default_factory=Setup)


class Device(Protocol):
    """A device that is connected.

    Attributes:
        machine: identifies the hardware; two devices of the same machine never measure at once.
    """

    @property
    def machine(self) -> str: ...

    def run(self, job: Job) -> Result:
        """Measure. Blocks, also while others hold the device; one call at a time.

        Args:
            job: with paths on this host as its files.

        Raises:
            InferenceError: the runtime refuses the model.
            CandidateError: it crashed the runtime, or went beyond the job's limits.
            Infeasible: its outputs are not those expected.
            TransientError: the device or the way to it failed; trying again may help.
            UserError: the device cannot do such jobs (no meter, runtime not installed).
        """
        ...

    def close(self) -> None:
        """Release processes, files and connections. Called once."""
        ...


class DevicePlugin(Protocol):
    """The factory behind an entry point."""

    @staticmethod
    def connect(name: str, options: Mapping[str, Any]) -> Device:
        """Connect to a device, and see that it answers.

        Args:
            name: of the device in the config, for messages.
            options: what the config says of it, but `type` and what makes up the `Setup`.

        Raises:
            UserError: an option is unknown or impossible, the device is not there, or it refuses.
        """
        ...
