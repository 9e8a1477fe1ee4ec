"""Decisions explained: why a signal was refused or let through, and the smallest changes that turn it."""

from quantum_trader.lab.explain.explainer import Change, Explanation, GateExplainer, explain
from quantum_trader.lab.explain.search import DecisionContext

__all__ = ["Change", "DecisionContext", "Explanation", "GateExplainer", "explain"]
