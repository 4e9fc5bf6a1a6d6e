"""How much energy a run of an artifact takes on a device."""

from typing import Literal

from pydantic import Field

from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions
from paretune.evaluators.job_evaluator import JobEvaluator
from paretune.evaluators.metric import Metric
from paretune.validation import Seconds

_TRIAL_SECONDS = 0.05


class EnergyOptions(EvaluatorOptions):
    """What a user may set.

    Attributes:
        meter: which; `auto` takes the first that there is, or that of the GPU that models run on.
        sensors: of the meter, whose energies add up; by default the CPU packages, the only sensor
            of the board, or the only GPU.
        root: folder of sysfs on the device.
        batch: samples per run, the first ones of the `search` split.
        seconds: of measuring one artifact; longer where the meter is slow.
    """

    meter: Literal["auto", "powercap", "hwmon", "nvml"] = "auto"
    sensors: tuple[str, ...] = ()
    root: str = "/sys"
    batch: int = Field(default=1, ge=1)
    seconds: Seconds = 2.0


class EnergyPlugin:
    """Energy by the device's own meter; never an estimate."""

    Options = EnergyOptions
    per_device = True

    @staticmethod
    def metrics(_options: EnergyOptions) -> tuple[Metric, ...]:
        """In millijoules, less is better."""
        text = "Energy of a run: all that the device's meter counts, idle power included"
        return (Metric("energy_mj", "mJ", "minimize", text),)

    @staticmethod
    def create(options: EnergyOptions, context: EvaluationContext) -> JobEvaluator:
        """Write the inputs down and see that the device can measure the reference's energy.

        Raises:
            UserError: the device has no meter that may be read, with the places looked at; the
                model takes another batch size only, or does not run.
        """
        return JobEvaluator(
            "energy",
            "energy",
            context,
            batch=options.batch,
            options={
                "meter": options.meter,
                "sensors": list(options.sensors),
                "root": options.root,
                "seconds": options.seconds,
            },
            trial_options={"seconds": _TRIAL_SECONDS},
            scale=1e3,
            # As much again for the idle device and the warm-up.
            extra_seconds=2 * options.seconds,
        )
