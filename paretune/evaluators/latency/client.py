"""The driver's end of the latency worker: starts it, asks it, replaces it when it dies."""

import subprocess
import sys
import threading
from pathlib import Path

from paretune.errors import TransientError
from paretune.evaluators.inference import InferenceError
from paretune.evaluators.latency.protocol import (
    Failed,
    Message,
    Ready,
    Request,
    Start,
    decode,
    encode,
)
from paretune.evaluators.latency.sampling import Pairs

_COMMAND = (sys.executable, "-P", "-m", "paretune.evaluators.latency.worker")
_HANG_SECONDS = 300.0


class LatencyWorker:
    """A worker process; started at once, and again after it died.

    Args:
        start: what it measures against, and how.
        log: file for what it prints; the end of it is shown when it dies.
        hang_seconds: without an answer for so long it is killed.
        command: starts it.

    Raises:
        InferenceError: the reference does not run.
        TransientError: the process died.
    """

    def __init__(
        self,
        start: Start,
        log: Path,
        *,
        hang_seconds: float = _HANG_SECONDS,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        self._start = start
        self._log = log
        self._hang_seconds = hang_seconds
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self.ready = self._launch()

    @property
    def process_id(self) -> int | None:
        """Of the running worker, or None after it died."""
        return self._process.pid if self._process else None

    def measure(self, model: Path) -> Pairs:
        """Sample a model against the reference. The calling thread sleeps meanwhile.

        Raises:
            InferenceError: ONNX Runtime refuses the model.
            TransientError: the process died or hung; the next call starts another.
        """
        if self._process is None:
            self._launch()
        answer = self._exchange(Request(str(model.resolve())))
        if not isinstance(answer, Pairs):
            raise ValueError(f"the latency worker must answer with Pairs, but got {answer}")
        return answer

    def close(self) -> None:
        """End the process; without one, nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            # Also closes the pipes.
            process.communicate()

    def _launch(self) -> Ready:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for the driver, which closes the worker when it is done.
                start_new_session=True,
            )
        try:
            answer = self._exchange(self._start)
        except InferenceError:
            self.close()
            raise
        if not isinstance(answer, Ready):
            raise ValueError(f"the latency worker must answer with Ready, but got {answer}")
        return answer

    def _exchange(self, message: Message) -> Message:
        try:
            answer = decode(self._ask(encode(message)))
        except BaseException:
            # Interrupted too: a late answer must not be taken for that to the next question.
            self.close()
            raise
        if isinstance(answer, Failed):
            raise InferenceError(f"ONNX Runtime cannot run the model: {answer.error}")
        return answer

    def _ask(self, line: str) -> str:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        hung = threading.Event()

        def kill() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(self._hang_seconds, kill)
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if answer:
            return answer
        code = process.wait()
        if hung.is_set():
            raise TransientError(
                f"the latency worker did not answer for {self._hang_seconds:g} s and was killed"
            )
        raise TransientError(
            f"the latency worker ended with exit code {code}: {self._last_words()}"
        )

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
