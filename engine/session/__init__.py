"""Sessions of runs: text, model, trainer, sinks and checkpoints put together.

conduct      one session: events to the sinks, snapshots to the disk
resume       from which checkpoint a run goes on, and what may have changed
ingredients  from a configuration to text, tokenizer, tokens and backend
samples      what the model writes while it trains
launch       a run begun, or gone on with, from its settings to its end
"""
