# SPDX-License-Identifier: Apache-2.0
"""What SageMaker's own description, as botocore ships it, says against a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from object2vec.sagemaker.algorithm import describe


def with_image(image: str) -> dict[str, Any]:
    """`describe` as it is sent: an image trains and serves."""
    described = describe()
    described["TrainingSpecification"]["TrainingImage"] = image
    described["InferenceSpecification"]["Containers"] = [{"Image": image}]
    return described


@cache
def service() -> ServiceModel:
    """SageMaker's operations and shapes."""
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


def broken_rules(operation: str, arguments: dict[str, Any]) -> list[str]:
    """All that is wrong with a request: names, types and what is required, which boto3 checks
    itself, and enumerations, patterns and largest sizes, which only the service does."""
    shape = service().operation_model(operation).input_shape
    report = ParamValidator().validate(arguments, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_broken(arguments, shape, operation))


def _broken(value: Any, shape: Shape, where: str) -> Iterator[str]:
    rules = shape.metadata
    if shape.type_name in ("boolean", "timestamp", "blob"):
        return
    if shape.type_name == "structure":
        for name, item in value.items():
            if name in shape.members:
                yield from _broken(item, shape.members[name], f"{where}.{name}")
        return
    size = value if shape.type_name in ("integer", "long", "float", "double") else len(value)
    if "max" in rules and size > rules["max"]:
        yield f"{where}: {size} is more than {rules['max']}"
    if "min" in rules and size < rules["min"]:
        yield f"{where}: {size} is less than {rules['min']}"
    if shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _broken(item, shape.member, f"{where}[{number}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from _broken(name, shape.key, f"{where} name {name}")
            yield from _broken(item, shape.value, f"{where}.{name}")
    elif shape.type_name == "string":
        if "enum" in rules and value not in rules["enum"]:
            yield f"{where}: {value!r} is not in the list"
        pattern = rules.get("pattern", "")
        # Python lacks Java's classes of characters; together they are what prints.
        fits = value.isprintable() if r"\p{" in pattern else re.fullmatch(pattern, value, re.DOTALL)
        if pattern and not fits:
            yield f"{where}: {value!r} does not match {pattern}"
