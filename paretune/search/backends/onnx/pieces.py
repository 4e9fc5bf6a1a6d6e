"""Pieces: the constants of one layer under one choice, made once and kept on disk."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from onnx import GraphProto, TensorProto

from paretune.files import write_whole
from paretune.search.backends.onnx.recent import Recent


class PieceStore:
    """Serialized initializers by key, in memory up to a limit and on disk without one.

    Attributes:
        folder: where the files are; shared by all studies of the same prepared model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._recent: Recent[GraphProto] = Recent(GraphProto.ByteSize)

    def get(self, key: str, make: Callable[[], Iterable[TensorProto]]) -> Iterable[TensorProto]:
        """The tensors stored under `key`; `make` is called if there are none.

        Args:
            key: names the layer and the choice.
            make: returns the tensors.
        """
        key = hashlib.sha256(key.encode()).hexdigest()[:32]
        return self._recent.get(
            key, lambda: self._load(key) or self._save(key, GraphProto(initializer=make()))
        ).initializer

    def _load(self, key: str) -> GraphProto | None:
        try:
            return GraphProto.FromString((self.folder / key).read_bytes())
        except FileNotFoundError:
            return None

    def _save(self, key: str, piece: GraphProto) -> GraphProto:
        write_whole(self.folder / key, piece.SerializeToString(deterministic=True))
        return piece
