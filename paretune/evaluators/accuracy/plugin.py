"""The plugin `accuracy`: what can be set, and which metrics that gives."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_serializer, field_validator

from paretune.errors import UserError
from paretune.evaluators.accuracy.evaluator import AccuracyEvaluator
from paretune.evaluators.accuracy.user import UserMetric
from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions
from paretune.evaluators.inference import default_threads
from paretune.evaluators.metric import Direction, Metric
from paretune.evaluators.runtimes.runtime import GROUP as RUNTIMES
from paretune.evaluators.runtimes.runtime import RuntimePlugin
from paretune.evaluators.signature import model_outputs
from paretune.importing import import_object, spell
from paretune.names import nearest
from paretune.plugins import find_plugins, load_plugin

BUILT_IN = (
    Metric(
        "accuracy",
        "",
        "maximize",
        "Share of samples whose largest score is at the target",
        sampled=True,
    ),
    Metric(
        "accuracy_drop",
        "",
        "minimize",
        "Accuracy lost against the fp32 model, same samples",
        sampled=True,
    ),
    Metric(
        "agreement",
        "",
        "maximize",
        "Share of samples with the same top class as the fp32 model",
        sampled=True,
    ),
    Metric(
        "divergence",
        "nats",
        "minimize",
        "Mean KL divergence from the fp32 model's distribution",
        sampled=True,
    ),
)

MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class FunctionOptions(EvaluatorOptions):
    """A metric of the user's own.

    Attributes:
        function: `package.module:function`, or the function itself from Python. It takes the
            outputs of one batch (output name to array of shape (samples, ...)) and its targets
            (or None), and returns one score per sample, shape (samples,).
        direction: which way is better.
        unit: of the scores.
    """

    function: str | Callable[..., Any]
    direction: Direction
    unit: str = ""

    @field_validator("function", mode="before")
    @classmethod
    def _function(cls, function: Any) -> Any:
        if isinstance(function, str) or callable(function):
            return function
        raise ValueError(f"must be 'package.module:function' or a function, but got {function!r}")

    @field_serializer("function")
    def _spelling(self, function: str | Callable[..., Any]) -> str:
        return function if isinstance(function, str) else spell(function)


class AccuracyOptions(EvaluatorOptions):
    """What a user may set.

    Attributes:
        output: the model output that holds the class scores; the first by default.
        functions: name to a metric of the user's own. Each also gives `NAME_drop`, what is lost
            against the fp32 model on the same samples.
        threads: batches that run at the same time; one per core by default.
        runtime: plugin that runs them; best the one that will serve the model.
        runtime_options: of that plugin.
    """

    output: str | None = None
    functions: Mapping[MetricName, FunctionOptions] = Field(default_factory=dict)
    threads: int | None = Field(default=None, ge=1)
    runtime: str = "onnxruntime"
    runtime_options: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("runtime")
    @classmethod
    def _known(cls, runtime: str) -> str:
        if runtime not in (known := find_plugins(RUNTIMES)):
            raise ValueError(f"unknown runtime '{runtime}'{nearest(runtime, known)}")
        return runtime

    @field_validator("functions")
    @classmethod
    def _free_names(cls, functions: Mapping[str, FunctionOptions]) -> Mapping[str, FunctionOptions]:
        taken = {metric.name for metric in BUILT_IN}
        for name in functions:
            for metric in (name, f"{name}_drop"):
                if metric in taken:
                    raise ValueError(f"the name '{metric}' is taken; choose another for '{name}'")
                taken.add(metric)
        return functions


class AccuracyPlugin:
    """Top-1 accuracy, agreement and divergence, and users' own functions."""

    Options = AccuracyOptions

    @staticmethod
    def metrics(options: AccuracyOptions) -> tuple[Metric, ...]:
        """The built-in metrics, and two for each of the user's functions."""
        own = []
        for name, function in options.functions.items():
            text = f"Mean score of {function.model_dump()['function']}"
            lost = f"Loss of {name} against the fp32 model, same samples"
            unit = function.unit
            own.append(Metric(name, unit, function.direction, text, sampled=True))
            own.append(Metric(f"{name}_drop", unit, "minimize", lost, sampled=True))
        return (*BUILT_IN, *own)

    @staticmethod
    def create(options: AccuracyOptions, context: EvaluationContext) -> AccuracyEvaluator:
        """Find the output and the user's functions, and set up the runtime; nothing runs yet.

        Raises:
            UserError: the model has no such output, a function is not found, or the runtime is not
                installed or does not take its options.
        """
        outputs = model_outputs(context.reference.path)
        output = options.output or outputs[0]
        if output not in outputs:
            raise UserError(
                f"evaluator 'accuracy': the model has no output '{output}'"
                f"{nearest(output, outputs)}"
            )
        functions = {name: _user_metric(name, given) for name, given in options.functions.items()}
        threads = options.threads or default_threads()
        plugin: RuntimePlugin = load_plugin(RUNTIMES, options.runtime)
        runtime = plugin.create(1, options.runtime_options)
        return AccuracyEvaluator(
            context, output, functions, threads, runtime, options.runtime_options
        )


def _user_metric(name: str, options: FunctionOptions) -> UserMetric:
    function = options.function
    if isinstance(function, str):
        function = import_object(function, what=f"evaluator 'accuracy': functions.{name}")
    return UserMetric(name, function, options.direction)
