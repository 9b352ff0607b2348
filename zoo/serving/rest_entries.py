"""Reads the requests and answers of TF Serving's REST API for a `RequestLog`."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from zoo.exporting.validation import check_array, decode_output
from zoo.serving.request_log import LOGGED_SIGNATURES
from zoo.serving.transports.transport import SignatureInfo

_PREDICT = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?"
    r":predict"
)


class AskedVersion(NamedTuple):
    """The version that a request names: by number, by label, or the newest one."""

    model: str
    version: int | None
    label: str | None


FindSignatures = Callable[[AskedVersion], dict[str, SignatureInfo]]


def parse_predict_path(path: str) -> AskedVersion | None:
    """Returns the version in the quoted path of a request to predict, or None for another one."""
    match = _PREDICT.fullmatch(path)
    if not match:
        return None
    number, label = match["version"], match["label"]
    version = int(number) if number else None
    return AskedVersion(unquote(match["model"]), version, unquote(label) if label else None)


def parse_exchange(
    request: bytes, answer: bytes, signatures: dict[str, SignatureInfo]
) -> tuple[dict[str, Any], dict[str, Any], tuple] | None:
    """Returns the inputs, the outputs and the image shape of a request that was answered.

    Args:
        request: The body of the request.
        answer: The body of the answer.
        signatures: Inputs and outputs of the version that has answered.

    Returns:
        As `RequestLog.add` takes them; None for a signature that is not logged.

    Raises:
        Exception: of several types, if they are not those of the signature.
    """
    asked, answered = json.loads(request), json.loads(answer)
    name = asked.get("signature_name", "serving_default")
    if name not in LOGGED_SIGNATURES:
        return None
    takes, returns = signatures[name]
    if "instances" in asked:
        inputs = _collect_columns(asked["instances"], takes)
        outputs = _collect_columns(answered["predictions"], returns)
    else:
        inputs = _name_values(asked["inputs"], takes)
        outputs = _name_values(answered["outputs"], returns)
    arrays = {key: check_array(key, _decode(x), *takes[key]) for key, x in inputs.items()}
    image_shape = signatures["serving_default"][0].get("image", ("", ()))[1][1:]
    decoded = {key: decode_output(x, returns[key][0]) for key, x in outputs.items()}
    return arrays, decoded, image_shape


def _collect_columns(rows: list[Any], tensors: dict[str, Any]) -> dict[str, list]:
    """Returns the values of each tensor in rows, which are objects, or values of a single one."""
    if len(tensors) == 1 and not (isinstance(rows[0], dict) and rows[0].keys() == tensors.keys()):
        return {next(iter(tensors)): rows}
    return {name: [row[name] for row in rows] for name in tensors}


def _name_values(values: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Returns tensors by name; the name of a single one may be left out."""
    if isinstance(values, dict) and values.keys() == tensors.keys():
        return values
    (name,) = tensors
    return {name: values}


def _decode(value: Any) -> Any:
    """Returns nested lists with bytes in place of {"b64": ...}."""
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value
