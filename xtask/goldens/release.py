# Goldens of crates/release's statistics: confidence sequences and evidence, by confseq 0.0.11 (empirical Bernstein), ssrm-test and
# savvi (sample-ratio mismatch), and scipy (everything else, by integrals and sums instead of closed forms).
#
# It needs numpy below 2, as its oracles do: a virtual environment of its own with numpy 1.26.4, scipy 1.17.1, savvi 0.2.0, ssrm-test
# 0.1.5 and multiprocess.
#
# Writes crates/release/tests/fixtures/statistics.json. Set WHINCHAT_CONFSEQ to the folder `src` of confseq's source distribution, as
# installing it needs Boost. What its own C++ tests expect of proportions and ranks is checked here first.

import json
import os
import pathlib
import random
import sys

if "WHINCHAT_CONFSEQ" not in os.environ:
    sys.exit(print("release: WHINCHAT_CONFSEQ is not set, so nothing is written"))

import numpy as np  # noqa: E402
from scipy import integrate, optimize, special, stats  # noqa: E402

sys.path.insert(0, os.environ["WHINCHAT_CONFSEQ"])
from confseq.betting_strategies import lambda_predmix_eb  # noqa: E402
from confseq.predmix import predmix_lower_cs  # noqa: E402
from savvi.multinomial import Multinomial  # noqa: E402
from ssrm_test.ssrm_test import sequential_bayes_factors  # noqa: E402

OUT = pathlib.Path(__file__).parents[2] / "crates/release/tests/fixtures/statistics.json"


def proportion(hits, trials, alpha, tuned):
    twice = 2 * np.log(1 / alpha)
    strength = max(tuned / (twice + np.log(1 + twice)) - 1, 1e-3)

    def refuted(p):
        mixed = stats.betabinom.logpmf(hits, trials, strength * p, strength * (1 - p))
        return mixed - stats.binom.logpmf(hits, trials, p) - np.log(1 / alpha)

    edge = 1e-9
    mean = min(max(hits / trials, 2 * edge), 1 - 2 * edge)
    low = optimize.brentq(refuted, edge, mean, xtol=1e-13) if hits else 0.0
    high = optimize.brentq(refuted, mean, 1 - edge, xtol=1e-13) if hits < trials else 1.0
    return [low, high]


def rank_bound(p, n, alpha, tuned):
    delta, s, eta, zeta = 0.5, 1.4, 2.0, special.zeta(1.4)
    t = max(n, tuned)
    r = p if p >= 0.5 else min(0.5, special.expit(special.logit(p) + 2 * delta * np.sqrt(tuned * eta / t)))
    j = np.sqrt(t / tuned) * abs(special.logit(p)) / (2 * delta) + 1
    ell = s * np.log(np.log(eta * t / tuned)) + s * np.log(j) + np.log(2 * zeta * (2 * zeta + 1) / (alpha * np.log(eta) ** s))
    k1, term = (eta**0.25 + eta**-0.25) / np.sqrt(2), (np.sqrt(eta) + 1) / 2 * (1 - 2 * p) / 3 * ell
    return delta * np.sqrt(eta * t * r * (1 - r) / tuned) + np.sqrt(k1**2 * r * (1 - r) * t * ell + term**2) + term


def published():
    assert np.allclose(proportion(700, 1000, 0.05, 100), [0.651629, 0.745949], atol=1e-6)
    assert np.allclose(proportion(15, 50, 0.05, 50), [0.129556, 0.511896], atol=1e-6)
    assert np.allclose(proportion(5, 50, 0.05, 50), [0.013021, 0.269264], atol=1e-6)
    for p, bound in [(0.5, 68.62803), (0.9, 43.72119), (0.1, 59.96521)]:
        assert abs(rank_bound(p, 1000, 0.05, 100) - bound) < 1e-5


def bounded(x, alpha):
    def lower(x):
        t = np.arange(len(x))
        before = (0.5 + np.append(0, np.cumsum(x)[:-1])) / (t + 1)
        bets = lambda y: np.minimum(lambda_predmix_eb(y, alpha=alpha / 2), 0.5)  # noqa: E731
        return predmix_lower_cs(x, (x - before) ** 2, bets, lambda b: -np.log(1 - b) - b, alpha=alpha / 2)[-1]

    x = np.array(x)
    return [lower(x), 1 - lower(1 - x)]


def moments(x, alpha, tuned):
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tuned
    t, variance = len(x), np.var(x)
    width = np.sqrt(variance) * np.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha))
    return [np.mean(x) - width, np.mean(x) + width]


def bet(x, bound):
    capital = 1.0
    for i, value in enumerate(x):
        seen = np.array(x[:i])
        mean = (bound + seen.sum()) / (i + 1)
        variance = (0.25 + ((seen - seen.mean()) ** 2).sum() if i else 0.25) / (i + 1)
        gap = mean - bound
        capital *= 1 + min(max(gap / (variance + gap**2), 0), 0.5 / bound) * (value - bound)
    return capital


def pairs(wins, losses):
    return integrate.quad(lambda p: 2 * (2 * p) ** wins * (2 * (1 - p)) ** losses, 0.5, 1, epsabs=0, epsrel=1e-11)[0]


def harm(ratios, share, candidate, stable):
    terms = [w * stats.binom.pmf(candidate, candidate + stable, r * share / (r * share + 1 - share)) for r, w in ratios]
    return sum(terms) / sum(w for _, w in ratios) / stats.binom.pmf(candidate, candidate + stable, share)


def detector(rate, events):
    total = 0.0
    for odds in [1.3, 1.8, 3.0, 10.0]:
        raised = odds * rate / (1 - rate + odds * rate)
        factors = [raised / rate if e else (1 - raised) / (1 - rate) for e in events]
        total += sum(np.prod(factors[start:]) for start in range(len(events))) / 4
    return total


def mismatch(counts, shares, strength):
    test = Multinomial(0.05, np.array(shares), k=strength)
    test.update(np.array(counts))
    other = sequential_bayes_factors(np.array([counts]), np.array(shares), dirichlet_concentration=strength)[-1]
    assert np.isclose(test.odds, other, rtol=1e-6), (test.odds, other)
    return float(other)


def main():
    published()
    draw = random.Random(24)
    values = [[round(draw.betavariate(a, b), 4) for _ in range(n)] for a, b, n in [(2, 5, 40), (9, 1, 200), (1, 1, 15), (0.2, 2, 300)]]
    events = [[int(draw.random() < p) for _ in range(n)] for p, n in [(0.05, 60), (0.2, 120), (0.5, 40)]]
    ratios = [[1.4, 0.06], [2.0, 0.44], [5.0, 0.46], [20.0, 0.04]]

    def rows(f, *arguments):
        return [{"in": list(a), "out": f(*a)} for a in arguments]

    golden = {
        "proportion": rows(proportion, (700, 1000, 0.05, 100.0), (15, 50, 0.05, 50.0), (0, 200, 0.01, 300.0),
                           (3, 3, 0.05, 10.0), (9990, 10000, 0.001, 1000.0)),
        "rank_bound": rows(rank_bound, (0.5, 1000.0, 0.05, 100.0), (0.9, 1000.0, 0.05, 100.0), (0.1, 1000.0, 0.05, 100.0),
                           (0.99, 40.0, 0.01, 100.0), (0.99, 20000.0, 0.01, 500.0)),
        "bounded": rows(bounded, *[(v, 0.05) for v in values]),
        "moments": rows(moments, *[(v, 0.05, 100.0) for v in values]),
        "bet": rows(bet, *[(v, m) for v in values for m in (0.2, 0.5)]),
        "pairs": rows(pairs, (0, 0), (5, 0), (0, 5), (60, 40), (40, 60), (300, 250)),
        "harm": rows(harm, *[(ratios, s, c, o) for s, c, o in [(0.1, 5, 9), (0.5, 30, 30), (0.25, 0, 12), (0.1, 40, 60)]]),
        "detector": rows(detector, *[(r, e) for r in (0.05, 0.2) for e in events]),
        "mismatch": rows(mismatch, ([500, 500], [0.5, 0.5], 100.0), ([600, 400], [0.5, 0.5], 100.0),
                         ([90, 915], [0.1, 0.9], 1000.0), ([30, 50, 20], [0.25, 0.5, 0.25], 50.0)),
    }
    lines = ",\n".join(f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in cases) + "\n]" for name, cases in golden.items())
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
