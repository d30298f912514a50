"""Optimizers and learning-rate schedules, each a registry."""

from engine.optim.adafactor import Adafactor
from engine.optim.adamw import AdamW
from engine.optim.base import Group, Optimizer, make_optimizer, optimizers
from engine.optim.lion import Lion
from engine.optim.muon import Muon
from engine.optim.plan import GRAD_SCALE, UpdatePlan, plan_updates
from engine.optim.sgd import SGD

__all__ = [
    "GRAD_SCALE",
    "SGD",
    "Adafactor",
    "AdamW",
    "Group",
    "Lion",
    "Muon",
    "Optimizer",
    "UpdatePlan",
    "make_optimizer",
    "optimizers",
    "plan_updates",
]
