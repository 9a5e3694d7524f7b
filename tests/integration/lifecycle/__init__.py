"""Recording tasks through whatever may happen to them, in any order."""
