"""Simulated nations whose true fractions are known."""

from tasks.simulate.plan import SimulationPlan, read_plan
from tasks.simulate.write import simulate

__all__ = ["SimulationPlan", "read_plan", "simulate"]
