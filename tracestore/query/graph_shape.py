"""What follows from the shape of a directed graph: circles, and what is reached from a node. Pure.

Nodes are numbers. Nothing recurses, so a chain may be as long as it likes.

Source: Tarjan, "Depth-first search and linear graph algorithms" (1972); breadth-first search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

Successors = Sequence[Sequence[int]]
"""Of each node those that it points to."""


def circles(successors: Successors) -> list[list[int]]:
    """Find the strongly connected components that have a circle, each ascending, in order."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_nodes: list[int] = []
    is_open: set[int] = set()
    found: list[list[int]] = []
    for root in range(len(successors)):
        if root in order:
            continue
        path = [(root, 0)]
        while path:
            node, place = path.pop()
            if place == 0:
                order[node] = low[node] = len(order)
                open_nodes.append(node)
                is_open.add(node)
            else:
                low[node] = min(low[node], low[successors[node][place - 1]])
            for number in range(place, len(successors[node])):
                other = successors[node][number]
                if other not in order:
                    path += [(node, number + 1), (other, 0)]
                    break
                if other in is_open:
                    low[node] = min(low[node], order[other])
            else:
                if low[node] == order[node]:
                    found += _closed(node, open_nodes, is_open, successors)
    return sorted(found)


def _closed(
    node: int, open_nodes: list[int], is_open: set[int], successors: Successors
) -> list[list[int]]:
    """Take a component off the stack; nothing if it is a node that does not point to itself."""
    members = [open_nodes.pop()]
    while members[-1] != node:
        members.append(open_nodes.pop())
    is_open.difference_update(members)
    return [sorted(members)] if len(members) > 1 or node in successors[node] else []


def reached(successors: Successors, start: int) -> dict[int, int]:
    """Find the nodes that are reached from one, without it, and how many steps it takes."""
    depth = {start: 0}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for other in successors[node]:
            if other not in depth:
                depth[other] = depth[node] + 1
                waiting.append(other)
    del depth[start]
    return depth


def reversed_successors(successors: Successors) -> list[list[int]]:
    """Turn all arrows around."""
    found: list[list[int]] = [[] for _ in successors]
    for node, others in enumerate(successors):
        for other in others:
            found[other].append(node)
    return found
