"""The page of `zoo demo`: its API, and itself in a browser where there is one."""

import base64
import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.serving_double import Double, run_app, small_models

from zoo.commands import demo as demo_command
from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.demo import app
from zoo.demo.answers import describe_fields
from zoo.demo.app import make_demo_app
from zoo.demo.models import make_export_model, make_server_model, make_weights_model
from zoo.exporting.loading import open_source
from zoo.serving import Client
from zoo.serving.version_labels import set_label

NAMES = ("no", "yes", "h\u00e9")


def encode_image(size=(30, 40)):
    content = io.BytesIO()
    Image.effect_noise(size, 90).save(content, "png")
    return base64.b64encode(content.getvalue()).decode()


def open_page(model):
    return TestClient(make_demo_app(model), raise_server_exceptions=False)


def ask(page, inputs, **query):
    answer = page.post("/api/predict", params=query, json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Exports of an image model with two versions and a label, of texts, and of numbers."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("cnn", "gru", "flower", "price"):
        shutil.copytree(small_models() / name, folder / name, symlinks=True)
    set_label(folder, "cnn", 1, "stable")
    return folder


def test_an_export_of_images(folder):
    page = open_page(make_export_model("cnn", folder))
    found = page.get("/").text
    assert found == app.PAGE.read_text() and "http" not in found.replace("http-equiv", "")
    described = page.get("/api/model").json()
    assert described["versions"] == [
        {"key": "2", "title": "version 2"},
        {"key": "1", "title": "version 1 (stable)"},
    ]
    assert described["fields"] == [{"name": "image_bytes", "kind": "image", "shape": [10, 8, 3]}]
    image = encode_image()
    newest = ask(page, {"image_bytes": image})
    expected = Client("cnn", export_dir=folder).predict(
        {"image_bytes": [base64.b64decode(image)]}, "image_bytes"
    )
    found = {each["name"]: each["probability"] for each in newest["classes"]}
    for name, probability in zip(NAMES, expected["probabilities"][0], strict=True):
        assert found[name] == pytest.approx(float(probability), abs=1e-6)
    best, *others = newest["classes"]
    assert best["name"] == expected["label"][0] and best["selected"]
    assert not any(each["selected"] for each in others)
    assert newest["version"] == "2" and newest["milliseconds"] > 0 and newest["others"] == 0
    assert described["methods"] == ["occlusion"]  # exported without the signature `explain`
    first = ask(page, {"image_bytes": image}, version="1", method="occlusion")
    assert first["version"] == "1"
    overlay = Image.open(io.BytesIO(base64.b64decode(first["explanation"]["image"])))
    assert overlay.size == (8, 10) and first["explanation"]["label"] == best["name"]


def test_weights(folder):
    source = open_source(folder / "cnn/1")
    page = open_page(make_weights_model("cnn", "runs/cnn", source))
    described = page.get("/api/model").json()
    assert described["versions"] == [{"key": "weights", "title": "runs/cnn"}]
    assert described["methods"] == ["integrated_gradients", "grad_cam", "occlusion"]
    answer = ask(page, {"image_bytes": encode_image()}, method="grad_cam")
    assert answer["version"] == "" and "image" in answer["explanation"]


def test_a_server(folder):
    """It tells neither the names of classes nor the labels; the page has both."""
    double = Double(small_models("cnn"), labels=[("stable", 1)])

    def open_client(version, label):
        return Client("cnn", server=double.rest, version=version, label=label)

    page = open_page(make_server_model("cnn", open_client, folder))
    described = page.get("/api/model").json()
    keys = [version["key"] for version in described["versions"]]
    assert keys == ["newest", "label stable", "2", "1"]
    for key, number in (("newest", "2"), ("label stable", "1"), ("1", "1")):
        answer = ask(page, {"image_bytes": encode_image()}, version=key)
        assert answer["version"] == number
        assert {each["name"] for each in answer["classes"]} == {*NAMES}
    double.stop()
    answer = page.get("/api/model")
    assert answer.status_code == 400 and "cannot be reached" in answer.json()["error"]


def test_texts_and_numbers(folder):
    page = open_page(make_export_model("gru", folder))
    fields = page.get("/api/model").json()["fields"]
    assert fields == [{"name": "text", "kind": "text", "shape": []}]
    parts = ask(page, {"text": "the good film"}, method="occlusion")["explanation"]["parts"]
    assert [part["name"] for part in parts] == ["the", "good", "film"]
    page = open_page(make_export_model("price", folder))
    assert page.get("/api/model").json()["fields"] == [
        {"name": "size", "kind": "number"},
        {"name": "age", "kind": "number"},
    ]
    found = ask(page, {"size": 80, "age": 3.5})
    expected = Client("price", export_dir=folder).predict({"features": [[80, 3.5]]})["prediction"]
    assert found["prediction"] == pytest.approx(float(expected[0]))


def test_fields_of_columns():
    columns = (
        Column("age", "number", center=31.5, scale=4.0),
        Column("city", "category", values=("Oslo", "Rome")),
        Column("since", "date", date_format="%Y-%m-%d"),
        Column("review", "text"),
    )
    spec = Spec("features", (6,), ("a", "b"), columns=columns)
    assert describe_fields(SimpleNamespace(spec=spec)) == [
        {"name": "age", "kind": "number", "example": "31.5"},
        {"name": "city", "kind": "category", "values": ["Oslo", "Rome"]},
        {"name": "since", "kind": "date", "example": "%Y-%m-%d"},
        {"name": "review", "kind": "text"},
    ]


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("", "{", "expected JSON"),
        ("", "[]", 'expected {"inputs": {...}}'),
        ("", '{"inputs": {"image_bytes": "?"}}', "image_bytes: expected base 64"),
        ("", '{"inputs": {"image_bytes": "YQ=="}}', "image_bytes: "),
        ("", '{"inputs": {"image_bytes": 1}}', "image_bytes: expected base 64"),
        ("", '{"inputs": {}}', "no 'image'."),
        ("version=3", '{"inputs": {}}', "cnn has no version '3': choose one of the list"),
        ("method=magic", '{"inputs": {"image_bytes": "IMAGE"}}', "'magic': cnn is not explained"),
    ],
)
def test_mistakes_are_one_line(query, body, message, folder):
    page = open_page(make_export_model("cnn", folder))
    answer = page.post(f"/api/predict?{query}", content=body.replace("IMAGE", encode_image()))
    error = answer.json()["error"]
    assert answer.status_code == 400 and error.startswith(message) and "\n" not in error


def test_a_request_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(app, "_MAX_BYTES", 100)
    page = open_page(make_export_model("cnn", folder))
    answer = page.post("/api/predict", content=b" " * 101)
    assert answer.status_code == 413 and "send a smaller file" in answer.json()["error"]


def test_the_command(run_zoo, folder):
    for flags, message in (
        ((), "no model: choose one with --model"),
        (("--model=cnn", f"--export_dir={folder}/none"), "there is no such folder"),
        (("--model=cnn", "--weights=mnist", "--server=a:1"), "--weights and --server: pass one"),
    ):
        code, _, err = run_zoo(demo_command, *flags)
        assert code == 2 and message in err and err.count("\n") == 1
    for flags, title in (
        (("--model=lenet5", "--weights=mnist"), "mnist"),
        (("--model=cnn", f"--export_dir={folder}"), "version 2"),
    ):
        demo_command.FLAGS(["zoo", *flags])
        try:
            model = demo_command.open_demo_model()
        finally:
            demo_command.FLAGS.unparse_flags()
            for name in ("model", "weights", "export_dir"):
                demo_command.FLAGS[name].unparse()
        assert next(iter(model.list_versions().values())) == title


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_the_page_in_a_browser(browser, folder, tmp_path):
    """An image is drawn and a row is filled in; bars, facts and pictures appear."""
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    with run_app(make_demo_app(make_export_model("cnn", folder))) as address:
        page.goto(f"http://{address}/")
        page.wait_for_selector("canvas")
        assert page.title() == "cnn"
        # a chosen version asks again: without a wait its answer could come after the photograph's
        with page.expect_response("**/api/model?version=1"):
            page.select_option("#version", "1")
        page.select_option("#method", "occlusion")
        box = page.locator("canvas").bounding_box()
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, box["y"] + 200, steps=5)
        page.mouse.up()
        page.wait_for_selector("#overlay")
        assert page.locator(".bar").count() == 3 and page.locator(".bar.selected").count() == 1
        assert page.inner_text("#facts").startswith("version 1, ")
        photo, content = tmp_path / "photo.png", encode_image()
        photo.write_bytes(base64.b64decode(content))
        with page.expect_response(lambda x: content in (x.request.post_data or "")) as answered:
            page.set_input_files("#file", photo)
        shares = sorted((x["probability"] for x in answered.value.json()["classes"]), reverse=True)
        page.wait_for_selector(f".bar.selected:has-text('{100 * shares[0]:.1f}%')")
        picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        colours = {colour for _, colour in picture.getcolors(1 << 24)}
        assert (0x2C, 0xA0, 0x2C) in colours and (0, 0, 0) in colours
    with run_app(make_demo_app(make_export_model("price", folder))) as address:
        page.goto(f"http://{address}/")
        page.fill("#field0", "80")
        page.fill("#field1", "3.5")
        page.click("#ask")
        page.wait_for_selector("#value:not(:empty)")
        assert np.isfinite(float(page.inner_text("#value")))
        page.fill("#field1", "")
        page.click("#ask")
        page.wait_for_selector("#error:not(:empty)")
        assert "features: expected float32" in page.inner_text("#error")
    # rows with an empty cell are refused, which the console tells
    assert [text for text in problems if "400" not in text] == []
