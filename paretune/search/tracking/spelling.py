"""How names and texts are spelled in MLflow, which allows less than Paretune."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from paretune.search import text
from paretune.search.certainty import EXPLAINED
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import LANDMARKS, landmarks
from paretune.search.racing import summary
from paretune.search.standing import Standing, standings
from paretune.search.table import ordered, versus_column
from paretune.search.trial import Trial
from paretune.search.turnover import turnover
from paretune.search.view import front_devices


def key(name: str) -> str:
    """A metric's, param's or tag's name: `latency_ms@pi` is `latency_ms/pi`.

    MLflow's pages then show the devices of a metric as one group.
    """
    return re.sub(r"[^\w\-. :/]", "/", name)


def model_name(name: str) -> str:
    """A registered model's name, which must not contain `/` or `:`."""
    return re.sub(r"[/:.%\"']", "-", name)


def default_alias(device: str | None) -> str:
    """Of the version that was picked, for all devices or for one."""
    return re.sub(r"[^\w-]", "-", f"picked-{device}") if device else "picked"


def study_params(info: StudyInfo) -> dict[str, str]:
    """What a study is about, few enough to read."""
    config = info.config
    search: Mapping[str, Any] = config.get("search", {})
    backend: Mapping[str, Any] = config.get("backend", {})
    return {
        "model": str(config.get("model", "")),
        "data": str(config.get("data", "")),
        "objectives": ", ".join(f"{m.direction} {m.name}" for m in info.objectives),
        "constraints": ", ".join(map(str, info.constraints)) or "none",
        "sampler": str(search.get("sampler", "")),
        "seed": str(search.get("seed", "")),
        "backend": str(backend.get("type", "")),
    }


def trial_params(trial: Trial) -> dict[str, str]:
    """How often each precision and each kind of removal occurs, not one param a layer."""
    counts: dict[str, int] = {}
    for _, choice in trial.policy:
        precision = f"{choice.precision}_layers"
        counts[precision] = counts.get(precision, 0) + 1
        kind, _, _ = str(choice.sparsity).partition(":")
        kind = "n_m" if kind.isdecimal() else kind
        if kind != "dense":
            counts[f"{kind}_layers"] = counts.get(f"{kind}_layers", 0) + 1
    return {"policy": text.summary(trial.policy), **{k: str(n) for k, n in counts.items()}}


def standing_tags(standing: Standing | None) -> dict[str, str]:
    """How a front member stands; empty tags for trials that are off the front."""
    versus = {} if standing is None else standing.versus
    ties = () if standing is None else standing.ties
    return {
        **{f"paretune.{versus_column(name)}": str(versus.get(name, "")) for name in LANDMARKS},
        "paretune.ties": ", ".join(map(str, ties)),
    }


def environment_tags(info: StudyInfo) -> dict[str, str]:
    """The study's environment, one tag a fact."""
    tags: dict[str, str] = {}
    for name, value in info.environment.items():
        if isinstance(value, Mapping):
            tags |= {key(f"{name}.{inner}"): str(found) for inner, found in value.items()}
        else:
            tags[key(name)] = str(value)
    return tags


def description(info: StudyInfo, trials: Sequence[Trial]) -> str:
    """The front as Markdown, for the run's page."""
    members = front(trials, info.objectives)
    pictures = ", ".join(f"`front-{device}.html`" for device in front_devices(info))
    names = {trial.number: name for name, trial in landmarks(trials).items()}
    standing = standings(info, trials, members)
    headings = [text.label(metric) for metric in ordered(info)]
    headings += [*(f"vs {name}" for name in LANDMARKS), "ties with"]
    lines = [
        f"**{len(members)}** on the front of {len(trials)} trials."
        " Artifacts: `front.html` (interactive), `explain.html` (what was learned of the layers),"
        " `policies.png`, `front.csv`" + (f"; by device {pictures}." if pictures else "."),
        str(turnover(info, trials)),
        summary(trials),
        "",
        f"| trial | {' | '.join(headings)} | policy |",
        "| ---: |" + " ---: |" * len(ordered(info)) + " --- |" * (len(LANDMARKS) + 2),
    ]
    for member in members[:40]:
        cells = [
            text.figure(member.figures[metric.name], text.Scale(1.0, metric.unit))
            for metric in ordered(info)
        ]
        own = standing[member.number]
        cells += [str(own.versus.get(name, "")) for name in LANDMARKS]
        cells.append(", ".join(map(str, own.ties)))
        policy = names.get(member.number) or text.summary(member.policy)
        lines.append(f"| {member.number} | " + " | ".join(cells) + f" | {policy} |")
    shown = (m.figures[metric.name] for m in members[:40] for metric in ordered(info))
    lines += ["", *(f"{relation}: {meaning}." for relation, meaning in EXPLAINED.items())]
    if doubts := text.doubts(shown):
        lines += ["", doubts]
    return "\n".join(lines)
