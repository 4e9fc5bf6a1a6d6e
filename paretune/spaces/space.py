"""The space: what may be done to a model, as knobs that a sampler can turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from paretune.errors import UserError
from paretune.spaces.capability import Capabilities, Support
from paretune.spaces.choice import Choice
from paretune.spaces.counting import count_policies
from paretune.spaces.layer import ChannelGroup, Layer, ResidualBlock
from paretune.spaces.policy import Policy
from paretune.spaces.precision import Precision
from paretune.spaces.rule import LayerRule, check_rules
from paretune.spaces.sparsity import Channel, Dense, Drop, Sparsity

_T = TypeVar("_T")

KEEP, DROP = "keep", "drop"
"""What a block's knob can be set to."""

_DROPPED = Choice(sparsity=Drop())


@dataclass(frozen=True)
class Knob:
    """One decision of the sampler.

    Attributes:
        name: `precision/LAYER`, `sparsity/LAYER`, `channels/GROUP` or `block/BLOCK`.
        options: what it can be set to, spelled as in a policy; the first leaves the layer alone.
    """

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """The layers, the choices each may take, and the ties between them.

    Attributes:
        layers: in graph order.
        groups: layers that lose channels together. A layer is in at most one.
        precisions: layer name to the precisions offered.
        sparsities: layer name to the sparsities offered, those of groups and blocks apart;
            `Dense()` first.
        channels: group name to the channel amounts offered, snapped, ascending, 0 not listed.
        grain: channel counts snap to multiples of it.
        blocks: that may be dropped. A layer is in at most one.
    """

    layers: tuple[Layer, ...]
    groups: tuple[ChannelGroup, ...]
    precisions: Mapping[str, tuple[Precision, ...]]
    sparsities: Mapping[str, tuple[Sparsity, ...]]
    channels: Mapping[str, tuple[float, ...]]
    grain: int
    blocks: tuple[ResidualBlock, ...] = ()

    @cached_property
    def knobs(self) -> tuple[Knob, ...]:
        """The decisions that have more than one option, layers in graph order."""
        knobs = []
        group_named = {group.name: group for group in self.groups}
        block_names = {block.name for block in self.blocks}
        for layer in self.layers:
            if layer.name in block_names:
                knobs.append(Knob(f"block/{layer.name}", (KEEP, DROP)))
            knobs.append(Knob(f"precision/{layer.name}", _texts(self.precisions[layer.name])))
            knobs.append(Knob(f"sparsity/{layer.name}", _texts(self.sparsities[layer.name])))
            if layer.name in group_named:
                amounts = self.channels.get(layer.name, ())
                texts = ("0", *(f"{amount:g}" for amount in amounts))
                knobs.append(Knob(f"channels/{layer.name}", texts))
        return tuple(knob for knob in knobs if len(knob.options) > 1)

    @cached_property
    def size(self) -> int:
        """Number of different policies."""
        options = {x.name: len(self.precisions[x.name]) for x in self.layers}
        own = {x.name: len(self.sparsities[x.name]) for x in self.layers}
        amounts = {group: len(self.channels.get(group.name, ())) for group in self.groups}
        return count_policies(options, own, amounts, self.blocks)

    def decode(self, settings: Mapping[str, str]) -> Policy:
        """The policy that knob settings mean; knobs left out stay at their first option.

        A group that loses channels overrides its layers' own sparsities; a block that is dropped
        overrides all that is said of its layers.
        """
        dropped = {
            name
            for block in self.blocks
            if settings.get(f"block/{block.name}") == DROP
            for name in block.layers
        }
        lost = {
            name: Channel(float(amount))
            for group in self.groups
            if (amount := settings.get(f"channels/{group.name}", "0")) != "0"
            for name in group.layers
        }
        first = {knob.name: knob.options[0] for knob in self.knobs}
        choices: dict[str, Choice] = {}
        for layer in self.layers:
            if layer.name in dropped:
                choices[layer.name] = _DROPPED
                continue
            precision = f"precision/{layer.name}"
            sparsity = f"sparsity/{layer.name}"
            text = settings.get(precision, first.get(precision))
            choice = Choice.parse(
                f"{text or self.precisions[layer.name][0]}"
                f"+{settings.get(sparsity, first.get(sparsity)) or self.sparsities[layer.name][0]}"
            )
            choices[layer.name] = Choice(choice.precision, lost.get(layer.name, choice.sparsity))
        return Policy.of(choices)

    def encode(self, policy: Policy) -> dict[str, str]:
        """Settings of all knobs that `decode` turns into `policy`.

        Raises:
            UserError: the space does not offer this policy.
        """
        policy = self.canonical(policy)
        settings: dict[str, str] = {}
        amounts = {
            group.name: sparsity.amount
            for group in self.groups
            for name in group.layers
            if isinstance(sparsity := policy[name].sparsity, Channel)
        }
        for knob in self.knobs:
            kind, _, name = knob.name.partition("/")
            choice = policy[name]
            dropped = isinstance(choice.sparsity, Drop)
            if kind == "block":
                setting = DROP if dropped else KEEP
            elif kind == "channels":
                setting = f"{amounts.get(name, 0):g}"
            elif dropped:
                setting = knob.options[0]
            elif kind == "precision":
                setting = str(choice.precision)
            else:
                own = not isinstance(choice.sparsity, Channel)
                setting = str(choice.sparsity) if own else knob.options[0]
            if setting not in knob.options:
                raise UserError(
                    f"{name}: '{setting}' is not offered; allowed are {', '.join(knob.options)}"
                )
            settings[knob.name] = setting
        if self.decode(settings) != policy:
            raise UserError(f"the space does not offer this policy: {policy}")
        return settings

    def canonical(self, policy: Policy) -> Policy:
        """The one spelling of a model: layers in graph order, channel amounts snapped.

        Layers that are dropped are `fp32`, since nothing is left of them, and have no say in what
        the rest of their group loses.

        Raises:
            UserError: a layer is missing or unknown, or a group's or a block's layers disagree.
        """
        given = dict(policy.items)
        if unknown := sorted(given.keys() - {layer.name for layer in self.layers}):
            raise UserError(f"policy names layers that the model lacks: {', '.join(unknown)}")
        if missing := [layer.name for layer in self.layers if layer.name not in given]:
            raise UserError(f"policy lacks the layers {', '.join(missing)}")
        group_of = {name: group for group in self.groups for name in group.layers}
        block_of = {name: block for block in self.blocks for name in block.layers}
        gone = {name for name, choice in given.items() if isinstance(choice.sparsity, Drop)}
        choices: dict[str, Choice] = {}
        for layer in self.layers:
            choice = given[layer.name]
            if layer.name in gone:
                block = block_of.get(layer.name)
                if block is None:
                    raise UserError(f"{layer.name}: it cannot be dropped")
                if kept := [name for name in block.layers if name not in gone]:
                    raise UserError(
                        f"{layer.name}: {', '.join(block.layers)} must be dropped together,"
                        f" but {', '.join(kept)} would stay"
                    )
                choice = _DROPPED
            elif isinstance(choice.sparsity, Channel):
                group = group_of.get(layer.name)
                if group is None:
                    raise UserError(f"{layer.name}: its channels cannot be removed")
                tied = [name for name in group.layers if name not in gone]
                if any(given[name].sparsity != choice.sparsity for name in tied):
                    raise UserError(
                        f"{layer.name}: {', '.join(tied)} must lose the same channels,"
                        f" but got {', '.join(str(given[name].sparsity) for name in tied)}"
                    )
                # The text of an amount is what is stored, so it is what must be equal.
                amount = float(f"{group.snapped(choice.sparsity.amount, self.grain):g}")
                choice = Choice(choice.precision, Channel(amount) if amount else Dense())
            choices[layer.name] = choice
        return Policy.of(choices)

    def uniform(self, precision: Precision, channel_amount: float = 0.0) -> Policy:
        """Every layer at `precision` where offered, every group at the nearest offered amount.

        Layers that do not offer `precision` stay at their first.
        """
        settings = {}
        for layer in self.layers:
            if precision in self.precisions[layer.name]:
                settings[f"precision/{layer.name}"] = str(precision)
        for group in self.groups:
            offered = (0.0, *self.channels.get(group.name, ()))
            nearest = min(offered, key=lambda amount: abs(amount - channel_amount))
            settings[f"channels/{group.name}"] = f"{nearest:g}"
        return self.decode(settings)


def build_space(
    layers: Sequence[Layer],
    groups: Sequence[ChannelGroup],
    capabilities: Capabilities,
    precision: Sequence[Precision],
    sparsity: Sequence[Sparsity],
    rules: Sequence[LayerRule] = (),
    *,
    storage: bool = True,
    grain: int | None = None,
    blocks: Sequence[ResidualBlock] = (),
) -> Space:
    """Offer each layer what was asked for and the runtime can do.

    Args:
        layers, groups: read from the model.
        capabilities: of the runtime.
        precision, sparsity: asked for on every layer; `fp32` and dense are always added, first.
        rules: narrow single layers; the last rule that matches a layer and names a precision (or
            sparsity) wins. A rule's list is taken as it is: without `fp32` in it, the layer cannot
            stay fp32.
        storage: also offer choices that only make the file smaller.
        grain: channel counts snap to multiples of it; by default the runtime's.
        blocks: read from the model; one that all its layers may `drop` is offered.

    Raises:
        UserError: a rule matches no layer or leaves a layer nothing, the model has no layer, or
            the runtime lacks a precision that is not one of Paretune's own.
    """
    if not layers:
        raise UserError("the model has no layer to compress (Conv, Gemm, MatMul with weights, ...)")
    check_rules(rules, [layer.name for layer in layers])
    known = {p for p, _ in capabilities.precisions} | set(Precision.USUAL + Precision.OTHERS)
    if strange := [str(p) for p in precision if p not in known]:
        raise UserError(f"{capabilities.runtime} has no precision '{strange[0]}'")
    grain = grain or capabilities.channel_grain
    precisions: dict[str, tuple[Precision, ...]] = {}
    asked: dict[str, tuple[Sparsity, ...]] = {}
    for layer in layers:
        wanted = _unique((Precision.FP32, *precision))
        sparse = _unique((Dense(), *sparsity))
        for rule in rules:
            if rule.matches(layer.name):
                wanted = rule.precision if rule.precision is not None else wanted
                sparse = rule.sparsity if rule.sparsity is not None else sparse
        precisions[layer.name] = tuple(
            p for p in wanted if _offered(capabilities.of_precision(p, layer.op_type), storage)
        )
        if not precisions[layer.name]:
            raise UserError(
                f"space.layers: {layer.name} ({layer.op_type}) can take none of "
                f"{', '.join(wanted)} on {capabilities.runtime}"
                + ("" if storage else " in a search that has no size metric")
            )
        asked[layer.name] = tuple(
            s
            for s in sparse
            if isinstance(s, Dense)
            or (_offered(capabilities.sparsities.get(type(s)), storage) and layer.fits(s))
        )
    channels: dict[str, tuple[float, ...]] = {}
    for group in groups:
        # The group can lose what every one of its layers may lose.
        common = set.intersection(
            *({s.amount for s in asked[n] if isinstance(s, Channel)} for n in group.layers)
        )
        amounts = {float(f"{group.snapped(amount, grain):g}") for amount in common} - {0.0}
        channels[group.name] = tuple(sorted(amounts))
    own = {
        name: tuple(s for s in sparse if not isinstance(s, Channel | Drop)) or (Dense(),)
        for name, sparse in asked.items()
    }
    droppable = tuple(b for b in blocks if all(Drop() in asked[name] for name in b.layers))
    return Space(tuple(layers), tuple(groups), precisions, own, channels, grain, droppable)


def _offered(support: Support | None, storage: bool) -> bool:
    return support is Support.NATIVE or (storage and support is Support.STORAGE)


def _texts(options: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(option) for option in options)


def _unique(options: Sequence[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(options))
