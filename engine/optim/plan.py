"""From parameters and an optimizer to one update graph and the layout of its state.

Neighbours that the same elementwise rule updates become one flat stretch, so that the
whole model takes a few passes over memory. Knows no model and no device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.backends.base import Assign
from engine.errors import GraphError
from engine.graph import Tensor, input_tensor, scope, state_tensor
from engine.model.layout import Layout, Piece, aligned
from engine.model.parameters import Parameter
from engine.optim.base import Group, Optimizer

#: The input by which every gradient is multiplied: 1, or less to clip.
GRAD_SCALE = "grad_scale"


@dataclass(frozen=True)
class Stretch:
    """Parameters updated at once: the elements [start, stop) of `buffer`."""

    rule: Optimizer
    group: Group
    buffer: str
    start: int
    stop: int
    pieces: tuple[Piece, ...]

    def tensor(self, buffer: str) -> Tensor:
        """This stretch of `buffer`, laid out like the parameters'."""
        name = f"{buffer}[{self.start}:{self.stop}]"
        return state_tensor(name, self.group.shape, buffer=buffer, offset=self.start)


@dataclass(frozen=True)
class UpdatePlan:
    """The optimizer's state: every parameter's slots, and every stretch's."""

    stretches: Sequence[Stretch]
    slots: Layout
    stretch_slots: Sequence[Mapping[str, Tensor]]

    def assigns(
        self, gradients: Mapping[str, str], scalars: Sequence[str]
    ) -> list[Assign]:
        """The update as assignments to parameters and slots.

        `gradients` maps each parameter buffer to that of its gradients; `scalars`
        names the inputs that the optimizer's rules read.
        """
        scale = input_tensor(GRAD_SCALE, ())
        inputs = {name: input_tensor(name, ()) for name in scalars}
        assigns = []
        with scope("optimizer"):
            for stretch, slots in zip(self.stretches, self.stretch_slots, strict=True):
                param = stretch.tensor(stretch.buffer)
                grad = stretch.tensor(gradients[stretch.buffer]) * scale
                new, new_slots = stretch.rule.update(
                    stretch.group, param, grad, slots, inputs
                )
                assigns.append(Assign(param, new))
                for name, slot in slots.items():
                    assigns.append(Assign(slot, new_slots[name]))
        return assigns


def plan_updates(
    optimizer: Optimizer, parameters: Sequence[Parameter], layout: Layout
) -> UpdatePlan:
    """Group the parameters, and give every slot its place in a buffer of its name."""
    stretches = list(_stretches(optimizer, parameters, layout))
    ends: dict[str, int] = {}
    pieces: list[Piece] = []
    tensors: list[dict[str, Tensor]] = []
    for stretch in stretches:
        own: dict[str, Tensor] = {}
        for slot, shape in stretch.rule.slots(stretch.group).items():
            buffer = f"optim.{slot}"
            place = Piece(
                f"{buffer}@{ends.get(buffer, 0)}", shape, buffer, ends.get(buffer, 0)
            )
            ends[buffer] = aligned(place.stop)
            own[slot] = place.tensor()
            pieces += _slot_pieces(stretch, slot, place)
        tensors.append(own)
    return UpdatePlan(stretches, Layout(pieces), tensors)


def _stretches(
    optimizer: Optimizer, parameters: Sequence[Parameter], layout: Layout
) -> Iterator[Stretch]:
    """Neighbours under one elementwise rule together, every other parameter alone."""

    def key(parameter: Parameter) -> tuple[object, ...]:
        buffer = layout.pieces[parameter.name].buffer
        rule = optimizer.rule(parameter)
        alone = "" if rule.elementwise else parameter.name
        return buffer, id(rule), parameter.kind.decays, alone

    order = sorted(parameters, key=lambda p: layout.pieces[p.name].buffer)
    for _, neighbours in groupby(order, key):
        members = list(neighbours)
        first = members[0]
        rule = optimizer.rule(first)
        pieces = tuple(layout.pieces[member.name] for member in members)
        start, stop = pieces[0].offset, pieces[-1].stop
        if rule.elementwise:
            stop = aligned(stop)
            group = Group((stop - start,), first.kind.decays)
        else:
            group = Group(first.shape, first.kind.decays, first.parts)
        yield Stretch(rule, group, pieces[0].buffer, start, stop, pieces)


def _slot_pieces(stretch: Stretch, slot: str, place: Piece) -> Iterator[Piece]:
    """Where each parameter of `stretch` has its part of `slot`, named for both."""
    if stretch.rule.elementwise and place.shape != stretch.group.shape:
        raise GraphError(
            f"{type(stretch.rule).__name__} is elementwise, but its slot {slot!r} has "
            f"shape {place.shape} for a group of {stretch.group.shape}"
        )
    for piece in stretch.pieces:
        shape = piece.shape if stretch.rule.elementwise else place.shape
        offset = place.offset + piece.offset - stretch.start
        yield Piece(f"{slot}.{piece.name}", shape, place.buffer, offset)
