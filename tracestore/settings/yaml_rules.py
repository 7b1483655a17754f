"""Retention rules and sampling policies in a YAML file, as people write them, to a line each.

``{status=error}: 90d`` without quotes is a mapping as a key to YAML: its text is taken from the
file as it stands there.
"""

from __future__ import annotations

import yaml

from tracestore.settings.sampling_rules import Action

_FORMS = (
    "expected keys and values as '{status=error}': 90d, or a list of "
    "{query: '{status=error}', keep: 90d}"
)
_QUERY, _KEEP = "query", "keep"
_ENTRIES = "expected a list of {keep: '{status=error}'}, {drop: '{...}'} and {keep_ratio: 0.1}"


class RuleFormError(Exception):
    """A node that is no rule."""

    def __init__(self, node: yaml.Node, reason: str = _FORMS) -> None:
        super().__init__(reason)
        self.node = node


def rule_lines(node: yaml.Node) -> str:
    """Write rules as ``QUERY: DURATION``, a line each. Raises: RuleFormError."""
    if isinstance(node, yaml.MappingNode):
        return "\n".join(_pair(key, value) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return "\n".join(_item(item) for item in node.value)
    raise RuleFormError(node)


def sampling_lines(node: yaml.Node) -> str:
    """Write the entries of a policy as ``ACTION: VALUE``, a line each. Raises: RuleFormError.

    A list has them in order; keys and values mean ``drop`` before ``keep``, whatever their order.
    """
    if isinstance(node, yaml.SequenceNode):
        return "\n".join(_entry(item) for item in node.value)
    if not isinstance(node, yaml.MappingNode):
        raise RuleFormError(node, _ENTRIES)
    order = [Action.DROP, Action.KEEP, Action.KEEP_RATIO]
    lines = {action: list[str]() for action in order}
    for key, value in node.value:
        action = _action(key)
        values = value.value if isinstance(value, yaml.SequenceNode) else [value]
        lines[action] += [f"{action}: {_text(one)}" for one in values]
    return "\n".join(line for action in order for line in lines[action])


def query_lines(node: yaml.Node) -> str:
    """Write queries a line each. Raises: RuleFormError."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return "\n".join(_text(one) for one in nodes)


def _entry(node: yaml.Node) -> str:
    """Read an item of a policy: a text, or one key with its value."""
    if isinstance(node, yaml.ScalarNode):
        return _one_line(node, str(node.value))
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise RuleFormError(node, _ENTRIES)
    if len(node.value) > 1:
        raise RuleFormError(node, "an entry has one key: write an item of the list for each")
    key, value = node.value[0]
    return f"{_action(key)}: {_text(value)}"


def _action(key: yaml.Node) -> Action:
    known = [action.value for action in Action]
    if not isinstance(key, yaml.ScalarNode) or key.value not in known:
        raise RuleFormError(key, f"an entry has one of the keys {', '.join(known)}")
    return Action(key.value)


def _item(node: yaml.Node) -> str:
    """Read ``QUERY: DURATION`` as a text or a mapping, or a mapping of query and keep."""
    if isinstance(node, yaml.ScalarNode):
        return _one_line(node, str(node.value))
    if not isinstance(node, yaml.MappingNode):
        raise RuleFormError(node)
    given = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if _QUERY not in given and _KEEP not in given and len(node.value) == 1:
        return _pair(*node.value[0])
    unknown = [key for key, _ in node.value if key.value not in (_QUERY, _KEEP)]
    if unknown:
        raise RuleFormError(unknown[0], "a rule has the keys query and keep")
    for name in (_QUERY, _KEEP):
        if name not in given:
            raise RuleFormError(node, f"the rule lacks {name}")
    return f"{_text(given[_QUERY])}: {_text(given[_KEEP])}"


def _pair(key: yaml.Node, value: yaml.Node) -> str:
    return f"{_text(key)}: {_text(value)}"


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return _one_line(node, str(node.value))
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        start, end = node.start_mark, node.end_mark
        if start.buffer is not None:
            return _one_line(node, start.buffer[start.pointer : end.pointer])
    raise RuleFormError(node)


def _one_line(node: yaml.Node, text: str) -> str:
    if "\n" in text.strip():
        raise RuleFormError(node, "expected a query in one line")
    return text.strip()
