"""What was learned, as JSON values."""

import json
from dataclasses import asdict
from typing import Any

from paretune.search import text
from paretune.search.explaining import naming
from paretune.search.explaining.explanation import ChoiceEffect, Doubt, Explanation

VERSION = 1


def to_json(found: Explanation) -> str:
    """All of it, with all digits."""
    return json.dumps(to_dict(found), indent=2)


def to_dict(found: Explanation) -> dict[str, Any]:
    """JSON values. Effects are in the metrics' own units; `gain` is positive where it is better."""
    return {
        "_type": "paretune.explanation",
        "_version": VERSION,
        "study": found.name,
        "trials": found.total,
        "measured": found.measured,
        "learned_from": len(found.trials),
        "untold": found.untold,
        "averaged_over": {
            "words": found.averaged,
            "trials": [trial.number for trial in found.bases],
        },
        "fixed_layers": list(found.fixed),
        "objectives": [_doubt(found, doubt) for doubt in found.doubts],
        "choices": [
            {
                **_choice(chosen),
                "trials": chosen.trials,
                "verdict": chosen.verdict.value,
                "effects": {name: asdict(effect) for name, effect in chosen.effects.items()},
            }
            for chosen in found.choices
        ],
        "pairs_looked_at": found.pairs,
        "interactions": [
            {
                "objective": pair.metric,
                "first": _choice(pair.first),
                "second": _choice(pair.second),
                **asdict(pair.effect),
            }
            for pair in found.interactions
        ],
        "protect": {
            doubt.metric.name: [_choice(chosen) for chosen in found.protect(doubt.metric)]
            for doubt in found.doubts
            if doubt.quality
        },
    }


def _choice(chosen: ChoiceEffect) -> dict[str, Any]:
    decision = chosen.decision
    return {
        "kind": decision.kind,
        "layers": list(decision.layers),
        "choice": chosen.option,
        "instead_of": decision.options[0],
        "words": naming.choice(chosen),
    }


def _doubt(found: Explanation, doubt: Doubt) -> dict[str, Any]:
    those = doubt.predictions
    return {
        "metric": doubt.metric.name,
        "unit": doubt.metric.unit,
        "direction": doubt.metric.direction,
        "quality": doubt.quality,
        "told": doubt.told,
        "r2": those.r2,
        "error": those.error,
        "coverage": those.coverage,
        "widening": those.widening,
        "predictions": [
            {
                "trial": trial.number,
                "measured": float(those.measured[row]),
                "predicted": float(those.predicted[row]),
                "low": float(those.low[row]),
                "high": float(those.high[row]),
                "surprise": float(those.surprise[row]),
                "policy": text.summary(trial.policy),
            }
            for row, trial in enumerate(found.trials)
        ],
    }
