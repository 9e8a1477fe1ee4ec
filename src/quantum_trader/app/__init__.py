"""Settings, wiring, command line and reports: the only room that reads the clock, the environment and the terminal."""
