"""What the signals of a run were worth, traded or not: blocks judged by their shadow trades, and advice on gates."""
