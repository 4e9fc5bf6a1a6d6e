"""The measuring process: `python -m paretune.evaluators.measuring.worker`.

The first request is a `Setup`, every further one a `Job`, both as JSON. The answer is JSON too:
`{"ready": true}`, `{"result": …}`, or `{"error": {"kind": …, "message": …}}` (see `failures`).
"""

import importlib
import json
from typing import Any

from paretune.errors import ParetuneError
from paretune.evaluators.measuring.failures import describe_failure
from paretune.evaluators.measuring.job import Job, Setup
from paretune.evaluators.measuring.pinning import pin
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.workplace import Workplace
from paretune.evaluators.processes.exhaustion import is_out_of_memory, out_of_memory
from paretune.evaluators.processes.serving import Note, serve


class MeasuringProcess:
    """Measures in this process. What it raises is a bug, or an error of the runtime's own kind."""

    def __init__(self) -> None:
        self._workplace: Workplace | None = None

    def answer(self, request: bytes, note: Note) -> bytes:
        """Set the process up, or do a job."""
        data = json.loads(request)
        try:
            reply = self._do(data, note)
        except Exception as error:
            if is_out_of_memory(error):
                limit = data.get("limits", {}).get("memory")
                reply = {"error": describe_failure(out_of_memory(limit))}
            elif isinstance(error, ParetuneError):
                reply = {"error": describe_failure(error)}
            else:
                raise
        return json.dumps(reply).encode()

    def _do(self, data: Any, note: Note) -> dict[str, Any]:
        if self._workplace is None:
            setup = Setup.from_dict(data)
            # Before the runtime starts threads: they inherit it.
            pin(setup)
            self._workplace = Workplace(setup)
            return {"ready": True}
        job = Job.from_dict(data)
        kind = importlib.import_module(f"paretune.evaluators.measuring.kinds.{job.kind}")
        result: Result = kind.measure(job, self._workplace, note)
        return {"result": result.to_dict()}


if __name__ == "__main__":
    serve(MeasuringProcess().answer)
