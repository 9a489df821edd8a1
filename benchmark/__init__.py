"""The engine: sweep, plan, store, trials, tracking and the command line."""
