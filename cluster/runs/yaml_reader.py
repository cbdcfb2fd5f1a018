"""Reading YAML as people mean it: `1e6` and `3e-4` are numbers, and a key given twice is a mistake."""

import re
from typing import Any

import yaml


class RunFileLoader(yaml.SafeLoader):
    """PyYAML's safe loader with those two differences."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary; a key that it has already is refused."""
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            keys.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML follows, asks for a dot in every number with an exponent.
RunFileLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)
