"""The manifest, as far as it can be checked without a cluster."""

import os
import shlex
import subprocess

import pytest
import yaml
from support.paths import ROOT

from zoo.distribution.tf_config import Cluster, read_tf_config

SERVICE, JOB = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
POD = JOB["spec"]["template"]
WORKER = POD["spec"]["containers"][0]
COUNT = JOB["spec"]["completions"]


def test_an_indexed_job_and_its_headless_service():
    assert (JOB["apiVersion"], JOB["kind"]) == ("batch/v1", "Job")
    assert (SERVICE["apiVersion"], SERVICE["kind"]) == ("v1", "Service")
    assert JOB["spec"]["completionMode"] == "Indexed"
    assert JOB["spec"]["parallelism"] == COUNT > 1, "all workers have to run at once"
    assert SERVICE["spec"]["clusterIP"] == "None"
    assert SERVICE["spec"]["publishNotReadyAddresses"], "they wait for each other to be ready"
    # the pods' names are <job>-<index>.<service>
    assert POD["spec"]["subdomain"] == SERVICE["metadata"]["name"]
    labels = POD["metadata"]["labels"].items()
    assert SERVICE["spec"]["selector"].items() <= labels
    assert {"name": "WORKERS", "value": str(COUNT)} in WORKER["env"]
    mounted = {mount["name"] for mount in WORKER["volumeMounts"]}
    assert mounted == {volume["name"] for volume in POD["spec"]["volumes"]}


@pytest.mark.parametrize("index", range(COUNT))
def test_every_worker_gets_its_own_tf_config(index, tmp_path):
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$@"\n')
    fake.chmod(0o755)
    environment = {item["name"]: item["value"] for item in WORKER["env"]}
    environment |= {"JOB_COMPLETION_INDEX": str(index), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        WORKER["command"], env=environment, capture_output=True, text=True, check=True
    )
    config, *arguments = done.stdout.splitlines()
    here = read_tf_config({"TF_CONFIG": config})
    name, service = JOB["metadata"]["name"], SERVICE["metadata"]["name"]
    port = SERVICE["spec"]["ports"][0]["port"]
    assert here == Cluster(tuple(f"{name}-{i}.{service}:{port}" for i in range(COUNT)), index)
    assert WORKER["ports"] == [{"containerPort": port}]
    assert arguments[0] == "train.py" and "--strategy=multi_worker" in arguments
    mount = WORKER["volumeMounts"][0]["mountPath"]
    written = [a.partition("=")[2] for a in arguments if a.startswith(("--run_dir", "--export"))]
    assert len(written) == 2 and all(path.startswith(mount) for path in written)


def test_the_commands_of_the_docs_are_what_the_workers_read():
    page = (ROOT / "docs" / "distributed.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("$ TF_CONFIG=")]
    found = []
    for line in lines:
        assignment, program, *flags = shlex.split(line.removeprefix("$ "))
        found.append(read_tf_config({"TF_CONFIG": assignment.partition("=")[2]}))
        assert (program, flags[0]) == ("python", "train.py")
    assert [here.index for here in found] == list(range(len(found[0].workers)))
    assert len({here.workers for here in found}) == 1
