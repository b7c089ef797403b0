"""Fuzzing of readers by atheris; ``make fuzz``."""
