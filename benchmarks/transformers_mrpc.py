"""Fine-tunes a BERT folder on GLUE's MRPC by Hugging Face's own classes, in PyTorch.

    python -m benchmarks.transformers_mrpc --preset=FOLDER --seed=0

The defaults are the settings of `run_glue.py`, the example of the transformers library: three
epochs, batch 32, AdamW at 2e-5 with a linear decay, 128 tokens, all 3,668 training pairs, no
validation split. It needs `pip install torch transformers accelerate`; the pairs are those of TFDS.
"""

import sys
import tempfile

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, run_command

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_string("preset", None, "Hugging Face folder of a BERT.", required=True, **BENCHMARK)
flags.DEFINE_integer("seed", 0, "Of the head's weights, the dropout and the order.", **BENCHMARK)
flags.DEFINE_float("learning_rate", 2e-5, "Of AdamW; decays to 0.", 0, **BENCHMARK)
flags.DEFINE_integer("batch_size", 32, "Pairs in a step.", 1, **BENCHMARK)
flags.DEFINE_integer("epochs", 3, "Passes over the training pairs.", 1, **BENCHMARK)


def read_pairs(split: str, tokenizer) -> list[dict]:
    """Reads a split of MRPC and encodes its pairs, at most 128 tokens each."""
    import tensorflow_datasets as tfds

    examples = tfds.as_numpy(tfds.load("glue/mrpc", split=split))
    return [
        {
            **tokenizer(
                *(example[name].decode() for name in ("sentence1", "sentence2")),
                truncation=True,
                max_length=128,
            ),
            "labels": int(example["label"]),
        }
        for example in examples
    ]


def main() -> None:
    """Trains on the training split and prints the scores of the validation split."""
    import_tensorflow()
    import transformers
    from sklearn.metrics import accuracy_score, f1_score

    transformers.set_seed(FLAGS.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FLAGS.preset)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(FLAGS.preset)
    validation = read_pairs("validation", tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model,
            transformers.TrainingArguments(
                folder,
                per_device_train_batch_size=FLAGS.batch_size,
                learning_rate=FLAGS.learning_rate,
                num_train_epochs=FLAGS.epochs,
                seed=FLAGS.seed,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
            ),
            transformers.DataCollatorWithPadding(tokenizer),
            read_pairs("train", tokenizer),
        )
        trainer.train()
        predicted = trainer.predict(validation)
    classes = predicted.predictions.argmax(axis=-1)
    accuracy = accuracy_score(predicted.label_ids, classes)
    f1 = f1_score(predicted.label_ids, classes)
    print(f"accuracy {accuracy:.2%}, F1 {f1:.2%} of {len(validation)} pairs")


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
