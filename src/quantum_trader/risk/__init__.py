"""Sizing, brackets and exits, the guard before every opening order, and the governor above everything.

Numbers live in ``@scalar`` functions (plain Python that the sweep compiles unchanged); objects around them hold
state and words. Reducing risk is never blocked here.
"""
