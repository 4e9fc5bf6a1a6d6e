"""Pieces: the constants of one layer under one choice, made once and kept on disk."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from onnx import GraphProto, TensorProto

from paretune.files import write_whole

_MEMORY_BYTES = 64 * 2**20


class PieceStore:
    """Serialized initializers by key, in memory up to a limit and on disk without one.

    Attributes:
        folder: where the files are; shared by all studies of the same prepared model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._recent: OrderedDict[str, GraphProto] = OrderedDict()
        self._bytes = 0

    def get(self, key: str, make: Callable[[], Iterable[TensorProto]]) -> Iterable[TensorProto]:
        """The tensors stored under `key`; `make` is called if there are none.

        Args:
            key: names the layer and the choice.
            make: returns the tensors.
        """
        key = hashlib.sha256(key.encode()).hexdigest()[:32]
        piece = self._recent.get(key)
        if piece is None:
            piece = self._load(key) or self._save(key, GraphProto(initializer=make()))
            self._recent[key] = piece
            self._bytes += piece.ByteSize()
            while self._bytes > _MEMORY_BYTES and len(self._recent) > 1:
                self._bytes -= self._recent.popitem(last=False)[1].ByteSize()
        else:
            self._recent.move_to_end(key)
        return piece.initializer

    def _load(self, key: str) -> GraphProto | None:
        try:
            return GraphProto.FromString((self.folder / key).read_bytes())
        except FileNotFoundError:
            return None

    def _save(self, key: str, piece: GraphProto) -> GraphProto:
        write_whole(self.folder / key, piece.SerializeToString(deterministic=True))
        return piece
