"""What trainers and their orders are called, apart from what is known of them: the command line
starts without numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Trainer = Literal["neox", "megatron", "olmo-core", "nanotron"]
TRAINERS: tuple[Trainer, ...] = get_args(Trainer)
"""Those that a configuration is written for (`mixtures.trainers.config`)."""

OrderName = Literal["neox", "megatron", "file-order"]
ORDERS: tuple[OrderName, ...] = get_args(OrderName)
"""Orders in which a mix is read (`mixtures.trainers.training_order`)."""

SEEDS: Mapping[Trainer, int] = {"neox": 1234, "olmo-core": 0}
"""By which a configuration has its trainer shuffle: GPT-NeoX's default, and what is written for
OLMo-core.
"""
