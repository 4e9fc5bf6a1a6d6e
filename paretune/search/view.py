"""A study as one of its devices sees it: everything that is not tied to another device."""

from collections.abc import Sequence
from dataclasses import replace

from paretune.errors import UserError
from paretune.names import hint
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial


def devices(info: StudyInfo) -> tuple[str, ...]:
    """The devices that have metrics of their own; none in a study on a single device."""
    return tuple(dict.fromkeys(metric.device for metric in info.metrics if metric.device))


def view(
    info: StudyInfo, trials: Sequence[Trial], device: str | None
) -> tuple[StudyInfo, list[Trial]]:
    """The study without the objectives, metrics and constraints of other devices.

    Args:
        device: its name; None leaves the study as it is.

    Raises:
        UserError: the study knows no such device, or has no objective there.
    """
    if device is None:
        return info, list(trials)
    if not (known := devices(info)):
        _require_only(info, device)
        return info, list(trials)
    if device not in known:
        raise UserError(
            f"no device '{device}'{hint(device, known)}; the study '{info.name}' measured on"
            f" {', '.join(known)}"
        )
    here = ("", device)
    objectives = tuple(metric for metric in info.objectives if metric.device in here)
    if not objectives:
        raise UserError(f"no objective of the study '{info.name}' holds for device '{device}'")
    metrics = tuple(metric for metric in info.metrics if metric.device in here)
    names = {metric.name for metric in metrics}
    constraints = tuple(c for c in info.constraints if c.metric in names)
    kept = set(map(str, constraints))
    seen = replace(
        info,
        name=f"{info.name} on {device}",
        objectives=objectives,
        metrics=metrics,
        constraints=constraints,
    )
    return seen, [
        replace(trial, violations=tuple(v for v in trial.violations if v in kept))
        for trial in trials
    ]


def front_devices(info: StudyInfo) -> tuple[str, ...]:
    """The devices that have a front of their own: those that an objective is tied to."""
    own = dict.fromkeys(metric.device for metric in info.objectives if metric.device)
    return tuple(own) if len(devices(info)) > 1 else ()


def fronts(
    info: StudyInfo, trials: Sequence[Trial], *, partial: bool = False
) -> dict[str, list[Trial]]:
    """Device to the members of its front; under the empty name those of the whole study.

    Args:
        partial: as for `front`.
    """
    found = {"": front(trials, info.objectives, partial=partial)}
    given = {trial.number: trial for trial in trials}
    for device in front_devices(info):
        seen, those = view(info, trials, device)
        members = front(those, seen.objectives, partial=partial)
        found[device] = [given[member.number] for member in members]
    return found


def front_numbers(info: StudyInfo, trials: Sequence[Trial]) -> dict[str, frozenset[int]]:
    """The same, as the trials' numbers."""
    return {
        device: frozenset(member.number for member in members)
        for device, members in fronts(info, trials).items()
    }


def all_members(info: StudyInfo, trials: Sequence[Trial], *, partial: bool = False) -> list[Trial]:
    """The members of any front, the whole study's first.

    A device's front may have members that the whole one lacks: those that are equal to a member
    on this device and worse on others, or that break a constraint of another device only.

    Args:
        partial: as for `front`.
    """
    found = fronts(info, trials, partial=partial).values()
    return list({member.number: member for members in found for member in members}.values())


def _require_only(info: StudyInfo, device: str) -> None:
    known = list(info.config.get("devices") or {"host": None})
    if device not in known:
        raise UserError(
            f"no device '{device}'; the study '{info.name}' measured on {', '.join(known)} only"
        )
