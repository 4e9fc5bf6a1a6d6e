"""Picking: the front member that a rule selects, exported, verified and registered."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paretune.errors import ParetuneError
from paretune.evaluators import Artifact, Measurement
from paretune.evaluators.pooling import repeatable
from paretune.evaluators.signature import model_inputs
from paretune.files import scratch_folder
from paretune.search.bench import Bench
from paretune.search.config import TrackingSection
from paretune.search.report import report
from paretune.search.rule import Rule
from paretune.search.store import StudyStore, require_writable
from paretune.search.tracking import check_reachable, default_alias, register_trial
from paretune.search.trial import Trial
from paretune.search.view import view


class NotReproduced(ParetuneError):
    """The written model is not the one that was measured, or does not repeat its figures."""


@dataclass(frozen=True, repr=False)
class Pick:
    """What was picked and where it lies.

    Attributes:
        trial: with its search and test figures.
        folder: holds `model.onnx`, `policy.json` and `report.md`.
        repeated: the metrics that the written file repeated to the last digit.
        registered: name and version in MLflow's model registry, or None.
    """

    trial: Trial
    folder: Path
    repeated: tuple[str, ...]
    registered: tuple[str, str] | None

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    def __repr__(self) -> str:
        return f"Pick(trial {self.trial.number}, '{self.folder}')"

    @property
    def report(self) -> Path:
        return self.folder / "report.md"


def pick(
    store: StudyStore,
    bench: Bench,
    rule: Rule,
    *,
    device: str | None = None,
    output: Path | None = None,
    tracking: TrackingSection | None = None,
    alias: str | None = None,
) -> Pick:
    """Choose, export, verify, register.

    The model is built again from its policy, must have the bytes that were measured, and must
    repeat all figures that do not depend on the clock when it is loaded from where it was written.

    Args:
        bench: a `Workbench` of the same study; what it does not measure is not verified.
        device: picks from this device's front; None from that of the whole study.
        output: the folder to write, whole or not at all; by default `picks/trial-N` of the study,
            with a device `picks/DEVICE-trial-N`.
        tracking: where to register it; None, or one that is off, leaves that out.
        alias: of the new version in the registry; by default `picked` or `picked-DEVICE`.

    Raises:
        NothingPicked: no front member satisfies the rule.
        NotReproduced: the model or its figures are not those recorded.
        UserError: there is no such device, the rule does not fit the study, the folder cannot be
            written, or the tracking server does not answer.
    """
    whole = store.trials()
    seen, trials = view(store.info, whole, device)
    chosen = rule.choose(seen, trials)
    trial = next(one for one in whole if one.number == chosen.number)
    if tracking is not None and not tracking.active:
        tracking = None
    if tracking is not None:
        check_reachable(str(tracking.uri))
    place = f"{device}-" if device else ""
    folder = output or store.folder / "picks" / f"{place}trial-{trial.number}"
    require_writable(folder.parent)
    with scratch_folder(folder.parent, folder.name) as scratch:
        draft = scratch / "draft"
        draft.mkdir()
        artifact = bench.apply(trial.policy, draft / "model.onnx")
        repeated = verify(bench, artifact, trial)
        text = json.dumps(json.loads(trial.policy.to_json()), indent=2)
        (draft / "policy.json").write_text(text + "\n", encoding="utf-8")
        inputs = [value for value in model_inputs(artifact.path) if value.required]
        page = report(seen, trials, chosen, rule, inputs, repeated)
        (draft / "report.md").write_text(page, encoding="utf-8")
        _replace(draft, folder, scratch / "old")
    registered = None
    if tracking is not None:
        written = Artifact(folder / "model.onnx", artifact.policy, artifact.sha256)
        registered = register_trial(store, tracking, trial, written, alias or default_alias(device))
    return Pick(trial, folder, repeated, registered)


def verify(bench: Bench, artifact: Artifact, trial: Trial) -> tuple[str, ...]:
    """Check bytes and figures; returns the names of the metrics that were repeated.

    Raises:
        NotReproduced: something differs.
    """
    if artifact.sha256 != trial.artifact_sha256:
        raise NotReproduced(
            f"trial {trial.number} cannot be built again: its model had the SHA-256"
            f" {trial.artifact_sha256}, now it has {artifact.sha256}; was another version of"
            " Paretune or of onnx at work?"
        )
    measured, _ = bench.measure(artifact, "search")
    repeated = tuple(
        name
        for name, found in trial.figures.items()
        # Parts run in other batches, which tells where ranges are found at run time.
        if name in measured and repeatable(found) and not found.in_parts
    )
    for name in repeated:
        recorded, now = trial.figures[name].value, measured[name].value
        if recorded != now:
            raise NotReproduced(
                f"trial {trial.number} does not repeat its {name}: recorded {recorded!r}, now"
                f" {now!r}; conditions then {_spelled(trial.figures[name])}, now"
                f" {_spelled(measured[name])}"
            )
    return repeated


def _spelled(measurement: Measurement) -> str:
    conditions: Mapping[str, object] = measurement.conditions
    return ", ".join(f"{key} {value}" for key, value in conditions.items()) or "none"


def _replace(draft: Path, folder: Path, aside: Path) -> None:
    """Put a folder in the place of another; at no time is there a half of one."""
    if folder.exists():
        folder.replace(aside)
    try:
        draft.replace(folder)
    except OSError:
        if aside.exists():
            aside.replace(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
