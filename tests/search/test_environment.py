"""The environment of a study."""

import json

from paretune.search.environment import environment


def test_it_is_plain_json_and_says_what_runs() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["onnxruntime"]
    assert found["cores"] >= 1
