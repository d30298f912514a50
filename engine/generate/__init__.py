"""Text from a trained model: prefill, decode, sampling, stop sequences, beams."""

from engine.generate.beam import Hypothesis, beam_search
from engine.generate.decoder import Decoder
from engine.generate.generation import Emitted, Generation, Limits, generate
from engine.generate.sampling import GREEDY, Sampling
from engine.generate.text import (
    Completion,
    Transcript,
    complete,
    end_of_text,
    stream_text,
)

__all__ = [
    "GREEDY",
    "Completion",
    "Decoder",
    "Emitted",
    "Generation",
    "Hypothesis",
    "Limits",
    "Sampling",
    "Transcript",
    "beam_search",
    "complete",
    "end_of_text",
    "generate",
    "stream_text",
]
