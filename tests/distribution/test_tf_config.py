"""TF_CONFIG: the workers of a training."""

import json

import pytest

from zoo.distribution.tf_config import Cluster, read_tf_config, split_address
from zoo.errors import UserError


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("nonsense", "expected"),
        ({"cluster": {"worker": ["a:1", "b:2"]}}, "expected"),
        ({"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}, "expected"),
        (
            {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}},
            "with N below the number of workers",
        ),
        (
            {"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "ps", "index": 0}},
            "expected only workers",
        ),
        (
            {
                "cluster": {"chief": ["a:1", "b:2"], "worker": ["c:3"]},
                "task": {"type": "chief", "index": 0},
            },
            "or one chief and workers",
        ),
        (
            {"cluster": {"chief": ["a:1"], "worker": ["b:2"]}, "task": {"type": "ps", "index": 0}},
            "unsupported job",
        ),
        (
            {"cluster": {"worker": ["a:1", "b:2", "a:1"]}, "task": {"type": "worker", "index": 1}},
            "a:1 is there twice: give each worker an address of its own",
        ),
        *(
            (
                {"cluster": {"worker": ["a:1", wrong]}, "task": {"type": "worker", "index": 0}},
                "expected",
            )
            for wrong in ("b:port", "b:0", "b:65536", ":2", "http://b:2", "b c:2", 2)
        ),
    ],
)
def test_a_cluster_that_is_not_understood(config, message):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(UserError, match=message):
        read_tf_config({"TF_CONFIG": text})


def test_the_cluster_of_the_environment():
    here = Cluster(("a:1", "b:2"), 1)
    assert read_tf_config({"TF_CONFIG": here.config()}) == here
    assert read_tf_config({}) is None
    assert read_tf_config({"TF_CONFIG": "{}"}) is None


@pytest.mark.parametrize(
    ("kind", "index", "expected"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]
)
def test_a_chief_is_worker_0(kind, index, expected):
    """As Kubeflow's training operator and Vertex AI write it, with more that is not read."""
    config = {
        "cluster": {"chief": ["c:1"], "worker": ["a:1", "b:1"]},
        "task": {"type": kind, "index": index, "cloud": "", "trial": "3"},
        "environment": "cloud",
        "job": "{}",
    }
    here = read_tf_config({"TF_CONFIG": json.dumps(config)})
    assert here == Cluster(("c:1", "a:1", "b:1"), expected)
    assert here.is_dynamic
    # what TensorFlow is given: it has no chief either
    assert read_tf_config({"TF_CONFIG": here.config()}) == here


def test_the_chief_of_a_job_with_one_machine_is_alone():
    config = {"cluster": {"chief": ["c:1"]}, "task": {"type": "chief", "index": 0}}
    assert read_tf_config({"TF_CONFIG": json.dumps(config)}) == Cluster(("c:1",), 0)


def test_names_may_come_late_in_kubernetes():
    text = Cluster(("a:1", "b:2"), 1).config()
    assert not read_tf_config({"TF_CONFIG": text}).is_dynamic
    assert read_tf_config({"TF_CONFIG": text, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}).is_dynamic


def test_addresses_of_both_kinds():
    assert split_address("one:2222") == ("one", 2222)
    assert split_address("[::1]:2222") == ("::1", 2222)
