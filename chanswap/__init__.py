"""Channel replacement for frozen vision models: search, apply and take off swaps. Needs torch alone.

    from chanswap import Site, Swap, applied, search

Names load on first use, so that `import chanswap` costs nothing before torch is needed.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "Swap": "swap",
    "SwapError": "swap",
    "Site": "sites",
    "SiteError": "sites",
    "SAM": "sites",
    "DINOV2": "sites",
    "SAM2": "sites",
    "applied": "sites",
    "apply": "sites",
    "remove": "sites",
    "FeatureCache": "cache",
    "CacheError": "cache",
    "Scorer": "scoring",
    "score": "scoring",
    "score_one_by_one": "scoring",
    "fastest_batch": "batching",
    "Journal": "journal",
    "Screen": "screening",
    "exhaustive": "screening",
    "random": "screening",
    "halving": "screening",
    "taylor": "screening",
    "random_swap": "screening",
    "estimates": "slopes",
    "halve": "rungs",
    "grow": "greedy",
    "Combination": "combine",
    "all_subsets": "combine",
    "Found": "searching",
    "search": "searching",
    "search_part": "searching",
    "SHARED": "searching",
    "STRATEGIES": "searching",
    "zeroing": "diagnostics",
    "altered": "diagnostics",
    "constant": "diagnostics",
    "levels": "diagnostics",
    "effects": "diagnostics",
    "Effects": "diagnostics",
    "growth": "diagnostics",
    "maps": "diagnostics",
    "one_a_channel": "diagnostics",
    "holm": "multiple",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'chanswap' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"chanswap.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
