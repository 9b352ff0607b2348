"""The proxy of compose.tls.yaml: nginx with its configuration, before a server."""

import shutil
import socket
import subprocess
import sys
import time

import pytest
import requests
import yaml
from support.model_server import free_port
from support.serving_double import Double, small_models
from support.tls import OPENSSL, make_certificate

from zoo.serving.server_config import write_server_files

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
TOKEN = "0123456789abcdef" * 4
ASK = """
import sys
from zoo.serving import Client
api, address, token = sys.argv[1:]
client = Client("price", **{api: f"https://{address}"}, token=token)
print(client.versions(), client.predict({"features": [[1.0, 2.0]]})["prediction"].shape)
"""


@pytest.fixture(scope="module")
def double():
    double = Double(small_models("price"))
    yield double
    double.stop()


@pytest.fixture(scope="module")
def proxy(double, tmp_path_factory):
    """The address of nginx, and its certificate."""
    if not (NGINX and OPENSSL):
        pytest.skip("nginx and openssl are not installed")
    folder = tmp_path_factory.mktemp("proxy")
    certificate, key = make_certificate(folder)
    write_server_files(folder)
    port = free_port()
    server = (folder / "proxy.conf").read_text()
    for name, value in {
        "${ZOO_TOKEN}": TOKEN,
        "/etc/nginx/tls/certificate.pem": str(certificate),
        "/etc/nginx/tls/key.pem": str(key),
        "listen 8443": f"listen 127.0.0.1:{port}",
        "serving:8501": double.rest,
        "serving:8500": double.grpc,
    }.items():
        assert name in server
        server = server.replace(name, value)
    paths = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\npid {folder / 'pid'};\nerror_log {folder / 'log'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{server}\n}}\n"
    )
    command = [NGINX, "-c", str(config), "-e", str(folder / "log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.05)
    yield f"localhost:{port}", certificate
    process.terminate()
    process.wait()


def test_who_has_the_token_is_let_in(proxy):
    address, certificate = proxy
    url = f"https://{address}/v1/models/price"
    for authorization in (None, "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}"):
        headers = {"Authorization": authorization} if authorization else {}
        assert requests.get(url, verify=certificate, headers=headers).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(url, verify=certificate, headers=headers).status_code == 200
    for path in ("monitoring/prometheus/metrics", "", "v2"):
        other = f"https://{address}/{path}"
        assert requests.get(other, verify=certificate, headers=headers).status_code == 404


@pytest.mark.parametrize("api", ["server", "grpc"])
def test_the_client_through_the_proxy(api, proxy, monkeypatch):
    address, certificate = proxy
    for name in ("REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        monkeypatch.setenv(name, str(certificate))

    def ask(token):
        command = [sys.executable, "-c", ASK, api, address, token]
        return subprocess.run(command, capture_output=True, text=True)

    done = ask(TOKEN)
    assert done.stdout == "{1: 'AVAILABLE'} (1,)\n", done.stderr
    done = ask("another")
    assert "set the variable ZOO_TOKEN to your token" in done.stderr, done.stderr


def test_compose_gives_the_proxy_what_it_needs(tmp_path):
    write_server_files(tmp_path)
    compose = yaml.safe_load((tmp_path / "compose.tls.yaml").read_text())
    (name, service), *others = compose["services"].items()
    assert (
        name == "proxy"
        and not others
        and service["ports"] == ["${PROXY_ADDRESS:-0.0.0.0}:8443:8443"]
    )
    assert service["environment"]["ZOO_TOKEN"].startswith("${ZOO_TOKEN:?"), "none is no token"
    sources = [volume.split(":")[0] for volume in service["volumes"]]
    assert sources == ["./proxy.conf", "./tls"] and (tmp_path / "proxy.conf").is_file()
    # the image fills in the variables of the environment alone, all others are nginx's
    assert (tmp_path / "proxy.conf").read_text().count("${") == 1
