import numpy as np
import pytest

from zoo.data.spec import check_class_names
from zoo.errors import UserError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ("a", "b")),
        (np.array(["a", "b"]), ("a", "b")),
        (np.array([b"a", "é".encode()]), ("a", "é")),
        ((0, 1), ("0", "1")),
        (np.arange(3), ("0", "1", "2")),
        ({"cat": 0, "dog": 1}, ("cat", "dog")),
    ],
)
def test_class_names_of_lists_and_arrays(names, expected):
    checked = check_class_names(names)
    assert checked == expected and all(type(name) is str for name in checked)


@pytest.mark.parametrize("names", ["ab", 3, [0.5, 1.5], ["a", "a"], [None, "a"]])
def test_what_names_no_classes(names):
    with pytest.raises(UserError, match=r"^class_names=.*: expected one name per class"):
        check_class_names(names)
