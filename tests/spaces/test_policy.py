import json

import pytest
from hypothesis import given

from paretune.errors import UserError
from paretune.spaces import Choice, Policy
from tests.spaces.strategies import choices, policies


@given(choices)
def test_choice_round_trip(choice: Choice) -> None:
    assert Choice.parse(str(choice)) == choice


@given(policies)
def test_policy_round_trip(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy
    assert hash(again) == hash(policy)
    assert again.key == policy.key


@given(policies, policies)
def test_equal_policies_and_only_those_have_equal_json(left: Policy, right: Policy) -> None:
    assert (left == right) == (left.to_json() == right.to_json())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a policy"),
        ('{"_type": "other"}', "not a policy"),
        ('{"_type": "paretune.policy", "_version": 9, "layers": {}}', "version 9"),
        ('{"_type": "paretune.policy", "_version": 1, "layers": {"a": 3}}', "layer names"),
        ('{"_type": "paretune.policy", "_version": 1, "layers": {"a": "int7"}}', "int7.*fp32"),
        ('{"_type": "paretune.policy", "_version": 1, "layers": {"a": "int8+3:2"}}', "n <= m"),
        ('{"_type": "paretune.policy", "_version": 1, "layers": {"a": "int8+much"}}', "much"),
    ],
)
def test_bad_policy(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Policy.from_json(text)


def test_json_has_type_and_version() -> None:
    data = json.loads(Policy.of({"a": Choice.parse("int8+channel:0.25")}).to_json())
    assert data == {
        "_type": "paretune.policy",
        "_version": 1,
        "layers": {"a": "int8+channel:0.25"},
    }
