"""The environment of a study."""

import json

from paretune.search.environment import changes, environment


def test_it_is_plain_json_and_says_what_runs() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["onnxruntime"]
    assert found["cores"] >= 1


def test_what_changes_latencies_is_named() -> None:
    before = environment()
    assert changes(before, before) == []
    now = {**before, "cpu": "other", "host": "elsewhere", "packages": {"onnxruntime": "9"}}
    assert changes(before, now) == [
        f"cpu was {before['cpu']}, is now other",
        f"onnxruntime was {before['packages']['onnxruntime']}, is now 9",
    ]
