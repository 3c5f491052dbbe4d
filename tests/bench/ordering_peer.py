"""Longest chains, PageRank and betweenness by NetworkX, as a program for the environment that `bin/setup-bench` makes.

The edges come as JSON on stdin; it prints the seconds that the three took.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Read, compute, print."""
    import networkx as nx  # type: ignore[import-untyped]  # of .bench alone
    from networkx.algorithms.link_analysis.pagerank_alg import (  # type: ignore[import-untyped]  # of .bench alone
        _pagerank_python,
    )

    graph = nx.DiGraph([tuple(edge) for edge in json.load(sys.stdin)])
    began = time.perf_counter()
    chains = dict.fromkeys(graph, 0)
    for task in nx.topological_sort(graph):
        for other in graph.successors(task):
            chains[other] = max(chains[other], chains[task] + 1)
    # The one of the public interface needs SciPy.
    _pagerank_python(graph)
    nx.betweenness_centrality(graph, k=64, seed=0)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
