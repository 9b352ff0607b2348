"""The files of deploy/: the Kubernetes Deployment, the alerts and the dashboard."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from support.paths import ROOT

from zoo.serving.server_templates import COMPOSE, MONITORING

MANIFESTS = ("serving.yaml", "kubernetes.yaml")
MONITORING_FOLDER = ROOT / "deploy" / "monitoring"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
# of TF Serving 2.21, see its metrics.cc, batching_session.cc and TensorFlow's cc/saved_model
METRICS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency_bucket": {"model_name", "API", "entrypoint", "le"},
    ":tensorflow:serving:runtime_latency_bucket": {"model_name", "API", "runtime", "le"},
    ":tensorflow:serving:batching_session:queuing_latency_sum": set(),
    ":tensorflow:serving:batching_session:queuing_latency_count": set(),
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_those_of_the_schema(name):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents = list(yaml.safe_load_all((ROOT / "deploy" / name).read_text()))
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_deployment_is_one_that_works():
    documents = yaml.safe_load_all((ROOT / "deploy" / "serving.yaml").read_text())
    service, deployment, budget, scaler = documents
    pod = deployment["spec"]["template"]
    (server,), (copier,) = pod["spec"]["containers"], pod["spec"]["initContainers"]
    for selector in (
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector == pod["metadata"]["labels"]
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "cpu" in server["resources"]["requests"], "its share is what the number of pods follows"
    assert budget["spec"]["minAvailable"] < scaler["spec"]["minReplicas"]
    (copied,) = copier["volumeMounts"]
    (read,) = server["volumeMounts"]
    assert copied == {k: v for k, v in read.items() if k != "readOnly"} and read["readOnly"]
    assert f"/exports/. {copied['mountPath']}" in copier["command"][-1]
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == [read["name"]]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == ports
    # the flags are those of compose.yaml, but a pod does not read models.config again
    compose = yaml.safe_load(COMPOSE)["services"]["serving"]
    flags = [flag for flag in compose["command"] if "batching" not in flag and "poll" not in flag]
    assert server["args"] == flags and compose["entrypoint"] == server["command"]
    assert f":-{server['image']}}}" in compose["image"]
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in MONITORING
    assert annotations["prometheus.io/port"] == str(ports["rest"])


@needs_promtool
@pytest.mark.parametrize(
    "command",
    ["check rules alerts.yml", "test rules alerts_test.yml", "check config prometheus.yml"],
)
def test_alerts(command):
    done = subprocess.run(
        [PROMTOOL, *command.split()], cwd=MONITORING_FOLDER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def list_expressions():
    """The expressions of the dashboard, as a rule would have them, and of the alerts."""
    dashboard = json.loads((MONITORING_FOLDER / "dashboard.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    filled = [one.replace("$__rate_interval", "5m").replace("$model", ".*") for one in panels]
    rules = yaml.safe_load((MONITORING_FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    return filled, [rule["expr"] for rule in rules]


def test_every_metric_is_one_of_tf_serving():
    panels, alerts = list_expressions()
    used = set()
    for expression in panels + alerts:
        assert "$" not in expression
        for metric, matchers in re.findall(r"(:tensorflow[\w:]+)(\{[^}]*\})?", expression):
            used.add(metric)
            labels = set(re.findall(r"(\w+)\s*[!=]", matchers))
            assert labels <= METRICS[metric], metric
    assert used == METRICS.keys()


@needs_promtool
def test_dashboard(tmp_path):
    panels, _ = list_expressions()
    rules = [{"record": f"panel:{i}", "expr": one} for i, one in enumerate(panels)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": rules}]}))
    command = [PROMTOOL, "check", "rules", tmp_path / "rules.yml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    dashboard = json.loads((MONITORING_FOLDER / "dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"])
