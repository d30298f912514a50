"""`alpha tokenizer`: the engine's command of that name."""

from runs.management.engine_command import EngineCommand


class Command(EngineCommand):
    """See `engine.cli.tokenizer`."""

    name = "tokenizer"
