"""Benchmarks: this engine beside a peer, in one process, in turn.

Each module registers one benchmark in `engine.bench.harness.benches`. They know
nothing of Django, so that they run on a borrowed machine too.
"""
