"""The RL pilot: what it observes. Numbers in, numbers out: nothing here trades, reads a clock or a file."""
