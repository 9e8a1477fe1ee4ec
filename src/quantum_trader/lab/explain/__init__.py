"""Decisions explained: why a signal was refused or let through, and the smallest changes that turn it."""

from quantum_trader.lab.explain.explainer import Explanation, GateExplainer, InputChange, explain_inputs
from quantum_trader.lab.explain.search import DecisionContext

__all__ = ["DecisionContext", "Explanation", "GateExplainer", "InputChange", "explain_inputs"]
