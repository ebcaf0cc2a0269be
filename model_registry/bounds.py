"""One-sided confidence bounds that hold for few samples: proportions, and quantiles by rank."""

from __future__ import annotations

from scipy import special


def exact_lower(count: int, n: int, alpha: float) -> float:
    """Lower bound of a proportion by Clopper and Pearson: wrong at most `alpha` of the time at any n."""
    return float(special.betaincinv(count, n - count + 1, alpha)) if count else 0.0


def rank_lower(n: int, quantile: float, alpha: float) -> int:
    """Greatest rank (1..n) whose order statistic is below the quantile with confidence 1 - alpha; 0 where none is."""
    # P(rank k is below) = P(Binomial(n, quantile) >= k) = I_quantile(k, n - k + 1), which falls in k.
    low, high = 0, n
    while low < high:
        k = (low + high + 1) // 2
        if special.betainc(k, n - k + 1, quantile) >= 1 - alpha:
            low = k
        else:
            high = k - 1
    return low


def rank_upper(n: int, quantile: float, alpha: float) -> int:
    """Least rank whose order statistic is above the quantile with confidence 1 - alpha; n + 1 where none is."""
    return n + 1 - rank_lower(n, 1 - quantile, alpha)
