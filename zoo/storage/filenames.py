"""Names of the files and folders that the zoo writes."""

# in the folder of a run
BEST, LAST = "best.keras", "last.keras"  # the model after its best and after its last epoch
METRICS, HISTORY, FLAGS_FILE = "metrics.json", "history.csv", "flags.txt"
CARD = "card.md"
TOKENIZER = "tokenizer.json"
RATES_TABLE, RATES_PLOT = "learning_rate.csv", "learning_rate.png"  # of a range test
RETRAINING = "retraining.json"  # of zoo retrain: the version before, and whether it is better
FINGERPRINT = "fingerprint.json"  # of the data, with the versions that train on it

# in an export; of assets.extra, TF Serving reads only the warm-up requests
EXTRA_FOLDER = "assets.extra"
KERAS_MODEL, EXPORT_RECORD = "model.keras", "zoo.json"
STATISTICS = "statistics.json"  # of the test split, for zoo monitor
CLASS_NAMES = "assets/labels.txt"
WARMUP = "assets.extra/tf_serving_warmup_requests"
FORMAT_FILES = {
    "litert": "model.tflite",
    "litert_float16": "model_float16.tflite",
    "litert_int8": "model_int8.tflite",
    "onnx": "model.onnx",
    "onnx_int8": "model_int8.onnx",
}
FORMATS = ("saved_model", *FORMAT_FILES)

CONTRACT = "contract.json"  # in the folder of a model's versions

# in the folder of exported models
MODELS_CONFIG, VERSION_LABELS = "models.config", "labels.json"
BATCHING_CONFIG = "batching.config"

# in a folder of shipped weights
WEIGHTS, RECORD = "weights.npz", "record.json"
CHECKSUMS = "SHA256SUMS"
