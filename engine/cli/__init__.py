"""The commands. Runs without Django: `python -m engine train ...` on any machine.

A command is a module with `HELP` (one line), `add_arguments(parser)` and
`run(options) -> dict`, listed in `engine.cli.main.COMMANDS`.
"""
