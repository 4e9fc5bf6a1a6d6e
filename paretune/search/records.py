"""How studies and trials are spelled in a ledger: JSON values, with a version."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import TypeAdapter

from paretune.errors import UserError
from paretune.evaluators import Measurement, Metric
from paretune.search.constraint import Constraint, violations
from paretune.search.info import StudyInfo
from paretune.search.ledger import StoredTrial
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy
from paretune.versions import require_version

VERSION = 1

_METRICS = TypeAdapter(tuple[Metric, ...])
_MAPPING = TypeAdapter(dict[str, Any])
_TEXTS = TypeAdapter(dict[str, str])

_END_OF_TIME = 9e9
"""In 2255: tables count nanoseconds in 64 bits."""

_STATES = {
    TrialStatus.COMPLETE: TrialState.COMPLETE,
    TrialStatus.INFEASIBLE: TrialState.PRUNED,
    TrialStatus.FAILED: TrialState.FAIL,
}
_STATUSES = {state: status for status, state in _STATES.items()}


def info_to_json(info: StudyInfo) -> dict[str, Any]:
    return {
        "_type": "paretune.study",
        "_version": VERSION,
        "name": info.name,
        "objectives": [asdict(metric) for metric in info.objectives],
        "metrics": [asdict(metric) for metric in info.metrics],
        "constraints": [str(constraint) for constraint in info.constraints],
        "config": dict(info.config),
        "identity": dict(info.identity),
        "environment": dict(info.environment),
    }


def info_from_json(data: Mapping[str, Any]) -> StudyInfo:
    """Read what `info_to_json` wrote.

    Raises:
        UserError: it is not a study of ours, or of another version.
    """
    if data.get("_type") != "paretune.study":
        raise UserError("it is an Optuna study, but not one that Paretune wrote")
    require_version("it", data.get("_version"), VERSION)
    info = StudyInfo(
        name=data["name"],
        objectives=_METRICS.validate_python(data["objectives"]),
        metrics=_METRICS.validate_python(data["metrics"]),
        constraints=tuple(Constraint.parse(text) for text in data["constraints"]),
        config=_MAPPING.validate_python(data["config"]),
        identity=_TEXTS.validate_python(data["identity"]),
        environment=_MAPPING.validate_python(data["environment"]),
    )
    names = {metric.name for metric in info.metrics}
    if not (
        len(names) == len(info.metrics)
        and len(set(info.objectives)) == len(info.objectives)
        and set(info.objectives) <= set(info.metrics)
        and {constraint.metric for constraint in info.constraints} <= names
    ):
        raise UserError("its metrics, objectives and constraints contradict each other")
    return info


def measurements_to_json(measurements: Mapping[str, Measurement]) -> dict[str, Any]:
    return {name: measurement.to_dict() for name, measurement in measurements.items()}


def measurements_from_json(data: Mapping[str, Any]) -> dict[str, Measurement]:
    return {name: Measurement.from_dict(measurement) for name, measurement in data.items()}


def trial_to_optuna(trial: Trial, info: StudyInfo, sampler_attrs: Mapping[str, Any]) -> FrozenTrial:
    """The trial in Optuna's terms: figures as values, the rest as attributes, no parameters.

    Optuna writes each parameter by itself; a policy is one attribute, so a trial is one write.

    Args:
        sampler_attrs: what the sampler noted on this trial, for the day it is resumed.
    """
    complete = trial.status is TrialStatus.COMPLETE
    return create_trial(
        state=_STATES[trial.status],
        values=[trial.measurements[m.name].value for m in info.objectives] if complete else None,
        user_attrs={
            "policy": trial.policy.to_json(),
            "measurements": measurements_to_json(trial.measurements),
            "reason": trial.reason,
            "artifact_sha256": trial.artifact_sha256,
            "seconds": dict(trial.seconds),
            "finished_at": trial.finished_at,
            "spent": trial.spent,
        },
        system_attrs=dict(sampler_attrs),
        constraints=violations(info.constraints, trial.measurements) or None,
    )


def trial_from_optuna(stored: StoredTrial, info: StudyInfo) -> Trial:
    """Read what `trial_to_optuna` wrote; violations are left to the caller.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is something else.
    """
    attrs = stored.user_attrs
    trial = Trial(
        number=stored.number,
        status=_STATUSES[stored.state],
        policy=Policy.from_json(attrs["policy"]),
        measurements=measurements_from_json(attrs["measurements"]),
        reason=attrs["reason"],
        artifact_sha256=attrs["artifact_sha256"],
        seconds=attrs["seconds"],
        finished_at=attrs["finished_at"],
        spent=attrs.get("spent", 0.0),
    )
    if not isinstance(trial.reason, str) or not isinstance(trial.artifact_sha256, str):
        raise TypeError(f"trial {trial.number}: its reason and its hash must be text")
    # A clock may be set to before 1970.
    _require_seconds(trial.finished_at, -_END_OF_TIME, _END_OF_TIME)
    for seconds in (trial.spent, *trial.seconds.values()):
        _require_seconds(seconds, 0, math.inf)
    require_measured(trial, info)
    return trial


def _require_seconds(value: object, least: float, end: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < end:
        raise ValueError(f"{value!r} is no time in seconds")


def require_measured(trial: Trial, info: StudyInfo) -> None:
    """See that a complete trial has all metrics of its study.

    Raises:
        ValueError: names what it lacks.
    """
    if trial.status is TrialStatus.COMPLETE:
        whole = trial.figures.keys() & (trial.test or trial.figures).keys()
        if missing := [metric.name for metric in info.metrics if metric.name not in whole]:
            raise ValueError(f"trial {trial.number} lacks {', '.join(missing)}")
