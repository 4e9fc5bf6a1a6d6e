"""Searching from Python; the command line is a thin layer over the same functions."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from paretune.errors import UserError
from paretune.evaluators import Metric, Splits
from paretune.importing import call_object, import_object, spell
from paretune.search.attempt import attempt_reference
from paretune.search.bench import Bench
from paretune.search.budget import Budget
from paretune.search.clues import find_clues
from paretune.search.cluster.bench import TeamBench
from paretune.search.cluster.extra import require_dask
from paretune.search.cluster.lanes import Lane, open_lanes
from paretune.search.config import Config, PluginSection
from paretune.search.device_section import check_devices
from paretune.search.driver import SCRATCH, Driver
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Listener
from paretune.search.location import find_ledger, settle
from paretune.search.lock import StudyLock
from paretune.search.outputs import write_outputs
from paretune.search.preparing import compress_choices, silently
from paretune.search.progress import ProgressDisplay
from paretune.search.samplers import check_sampler, make_sampler
from paretune.search.store import StudyStore, require_writable
from paretune.search.study import Study
from paretune.search.workbench import (
    Workbench,
    declared_metrics,
    everything,
    load_backend,
    needs_no_device,
)
from paretune.validation import parse_options

Function = Callable[[], Any]


def run_search(
    config: Config,
    data: Splits | Function | None = None,
    *,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
) -> Study:
    """Search, or go on with a search, until its budget is spent; confirm and test the front.

    Args:
        config: what to search. The study is in `config.output`.
        data: splits, or a function that returns them, instead of `config.data`.
        listeners: are told how it goes, besides the MLflow tracker.
        console: shows the progress; None shows nothing.

    Raises:
        UserError: something in the config, the model or the data is unusable, or the study that is
            in the folder is about something else.
        KeyboardInterrupt: the user does not want to wait for the end; the study can be resumed.
    """
    check_cheaply(config)
    output, notices = config.output, console or Console(stderr=True)
    with ExitStack() as stack:
        lock = StudyLock(output)
        stack.callback(lock.close)
        spec = config.search.cluster
        only = everything if spec is None else needs_no_device
        bench = stack.enter_context(Workbench.open(config, data, only=only))
        scratch = output / SCRATCH
        scratch.mkdir(exist_ok=True)
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        lanes: Sequence[Lane] = ()
        measuring: Bench = bench
        if spec is not None:
            lanes = stack.enter_context(open_lanes(bench, scratch))
            measuring = TeamBench(bench, lanes)
        reference = None
        if lock.ledger.exists():
            store = stack.enter_context(StudyStore.open(output, writable=True, lock=lock))
            store.require_same(bench.identity)
            bench.expect(store.trials())
        else:
            reference = attempt_reference(measuring, scratch / "reference.onnx")
            store = stack.enter_context(
                StudyStore.create(output, bench.info, base=config.base, lock=lock)
            )
        told = list(listeners)
        display = None
        if console is not None:
            display = stack.enter_context(ProgressDisplay(console))
            told.append(display)
        tell = display.preparing if display else silently
        errors = compress_choices(bench.prepared, bench.space, tell)

        def warn(text: str) -> None:
            # An error's brackets are no markup.
            notices.print(text, markup=False)

        crew = None
        if spec is not None:
            from paretune.search.cluster.team import open_team

            crew, measuring = stack.enter_context(open_team(spec, bench, lanes, warn))
        if config.tracking.active:
            from paretune.search.tracking import MlflowTracker

            told.append(MlflowTracker(config.tracking, bench.apply, warn))
        interrupt = stack.enter_context(
            Interrupt(
                lambda: notices.print(
                    "Stopping: the front found so far is confirmed. Ctrl-C again aborts at once."
                )
            )
        )
        search = config.search
        # A sampler that was given the same seed again would begin with what it began with before.
        seed = search.seed + len(store.trials())
        driver = Driver(
            measuring,
            store,
            make_sampler(search.sampler, seed, find_clues(bench.space, errors)),
            Budget(search.trials, search.time),
            listeners=told,
            seed=search.seed,
            racing=search.racing,
            crew=crew,
            test_seconds=bench.test_seconds,
        )
        bench.suite.overdue = driver.overdue
        for lane in lanes:
            lane.give_up_when(driver.overdue)
        outcome = driver.run(reference, interrupt)
        write_outputs(store.info, store.trials(), output)
    return Study(output, data, outcome, config.evaluators)


def check_cheaply(config: Config) -> None:
    """Find what is wrong before anything takes long.

    Raises:
        UserError: unknown sampler, device, evaluator, metric or backend; a folder or a database
            that cannot be written; an MLflow server that does not answer, if the study is new.
    """
    check_sampler(config.search.sampler)
    if config.search.cluster is not None:
        require_dask()
    check_devices(config.device_specs)
    declared_metrics(config)
    load_backend(config)
    require_writable(config.output)
    settle(config.output, config.storage, config.name, config.base)
    if config.tracking.active:
        from paretune.search.tracking import check_reachable

        try:
            check_reachable(str(config.tracking.uri))
        except UserError:
            # A search that was begun goes on without it; the tracker says so.
            if not find_ledger(config.output).exists():
                raise


def tune(
    *,
    model: Any,
    data: Splits | Function | str,
    objectives: Sequence[str | Metric],
    example_inputs: Any = None,
    constraints: Sequence[str] = (),
    metrics: Sequence[str | Metric] = (),
    space: Mapping[str, Any] | None = None,
    trials: int | None = None,
    time: str | float | None = None,
    sampler: str = "guided",
    seed: int = 0,
    racing: bool = True,
    cluster: str | None = None,
    evaluators: Sequence[Mapping[str, Any]] = (),
    devices: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    backend: Mapping[str, Any] | None = None,
    tracking: Mapping[str, Any] | None = None,
    storage: str | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Study:
    """Search for the Pareto front of compressed versions of a model.

    Called again with the same `output`, it resumes, and returns at once if the budget is spent.

    Args:
        model: an `nn.Module` (with `example_inputs`), the path of an `.onnx` file,
            `package.module:function`, or a function that returns a module and its example inputs.
        data: `Splits`, a function that returns them, or `package.module:function`.
        objectives: metrics to search the trade-off of.
        example_inputs: a mapping of input names to tensors, a tensor or a tuple of tensors; the
            first dimension counts samples.
        constraints: such as `accuracy_drop <= 0.02`.
        metrics: measured and shown, but no objectives.
        space: keys as in the config: `precision`, `sparsity`, `layers`, `grain`.
        trials, time: the budget; `time` in seconds or as `8h`.
        racing, cluster: as in the config's `search`.
        evaluators, devices, limits, backend: as in the config.
        tracking: as in the config; by default nothing is written to MLflow.
        storage: as in the config; by default the study is in `output`.
        output: folder of the study, by default `runs/<name>`.
        progress: show it in the terminal.

    Raises:
        UserError: something of this is unusable.
    """
    name = name or _name_of(model)
    output = Path(output) if output is not None else Path("runs") / name
    fields: dict[str, Any] = {
        "name": name,
        "model": _spelled(model) or "exported from Python",
        "data": _spelled(data) or "given from Python",
        "objectives": _names(objectives),
        "constraints": list(constraints),
        "metrics": _names(metrics),
        "space": space or {},
        "search": {
            "sampler": sampler,
            "trials": trials,
            "time": time,
            "seed": seed,
            "racing": racing,
            "cluster": cluster,
        },
        "evaluators": list(evaluators),
        "devices": devices,
        "limits": limits or {},
        "backend": {"type": "onnx", **(backend or {})},
        "tracking": {"enabled": tracking is not None, **(tracking or {})},
        "storage": storage,
        "output": output,
    }
    config = Config.of(fields, Path.cwd(), "paretune.tune")
    if not _spelled(model):
        check_cheaply(config)
        exported = _exported(model, example_inputs, output / "cache")
        config = Config.of({**fields, "model": str(exported)}, Path.cwd(), "paretune.tune")
    console = Console() if progress else None
    given = None if isinstance(data, str) or _spelled(data) else data
    return run_search(config, given, console=console)


def open_study(
    folder: str | Path,
    data: Splits | Function | None = None,
    evaluators: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """Open a study for looking at it and picking from it.

    Args:
        folder: the study's output folder.
        data: what was given to `tune` as `data`, if that was an object; needed for picking only.
        evaluators: likewise, if there were functions among their options.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    sections = [parse_options(PluginSection, one, "evaluators") for one in evaluators]
    return Study(Path(folder), data, evaluators=sections)


def _names(given: Sequence[str | Metric]) -> list[str]:
    return [one.name if isinstance(one, Metric) else one for one in given]


def _spelled(given: Any) -> str:
    """How another process finds it: a text as it is, a function that can be imported; or empty."""
    if isinstance(given, str | Path):
        return str(given)
    if not callable(given) or not hasattr(given, "__qualname__"):
        return ""
    try:
        spelled = spell(given)
        found = import_object(spelled, what="model or data")
    except UserError:
        return ""
    return spelled if found is given and not spelled.startswith("__main__:") else ""


def _name_of(model: Any) -> str:
    if isinstance(model, str | Path):
        return Path(str(model).partition(":")[0]).stem.rpartition(".")[2]
    return str(getattr(model, "__name__", type(model).__name__)).lower()


def _exported(model: Any, example_inputs: Any, cache: Path) -> Path:
    from torch import nn

    from paretune.search.export import export_model

    if isinstance(model, nn.Module):
        if example_inputs is None:
            raise UserError("a model given as nn.Module needs `example_inputs`")
        made: Any = (model, example_inputs)
    elif callable(model):
        made = call_object("model", model)
    else:
        raise UserError(
            "`model` must be an nn.Module, a function, a path or 'package.module:function', but got"
            f" {type(model).__name__}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    return export_model(made, cache / "model.onnx")
