"""The statistics of releases: tests by betting and confidence sequences, which may be looked at after every value.

A test's evidence is the capital of somebody who bets against the hypothesis without being able to win if it is true. It ever reaches
1 / alpha with a chance of at most alpha, however often one looks.
"""

from ._native import Bet, Bounded, Detector, Harm, Moments, Pairs, Sketch, mismatch, proportion

__all__ = ["Bet", "Bounded", "Detector", "Harm", "Moments", "Pairs", "Sketch", "mismatch", "proportion"]
