"""What the benchmarks on real experiments share."""

import random
import sys
from pathlib import Path

from paretune.errors import UserError
from paretune.search.config import Config, load_config
from paretune.spaces import Policy, Space

FOLDER = Path("experiments")
EXPERIMENTS = ("digits", "fashion_resnet", "minilm_reuters", "ppocr_lines")


def config_of(name: str, output: Path, **changes: object) -> Config:
    """The experiment's config, with its results in `output`."""
    try:
        config = load_config(FOLDER / f"{name}.yaml")
    except UserError as error:
        sys.exit(f"error: {error} (run it from the top of the repository)")
    return config.model_copy(update={"output": output, **changes})


def random_policies(space: Space, count: int, seed: int = 0) -> list[Policy]:
    """`count` policies, every knob drawn evenly."""
    draw = random.Random(seed)
    return [
        space.decode({knob.name: draw.choice(knob.options) for knob in space.knobs})
        for _ in range(count)
    ]
