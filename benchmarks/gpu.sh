#!/usr/bin/env bash
# What a GPU is for, in at most ten minutes: all families in float32 and mixed_bfloat16 next to the
# contenders that are installed, XLA on and off, resuming, an export, and two logical GPUs.
#
#   benchmarks/gpu.sh OUT            on a machine with a GPU
#   benchmarks/gpu.sh OUT --smoke    tiny sizes on any machine, to see that every step runs
#
# Each step writes OUT/STEP.log; OUT/summary.txt has the time and the outcome of each.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: benchmarks/gpu.sh OUT [--smoke]}
smoke=${2:-}
mkdir -p "$out"
: > "$out/summary.txt"
python=${PYTHON:-python}
deadline=$((SECONDS + 570))
models=mlp,cnn,lstm,transformer
examples=() epochs=3 dataset=mnist
if [ "$smoke" = --smoke ]; then
  models=mlp examples=(--examples=300) epochs=1 dataset=mnist_5k
fi

# step NAME COMMAND...: runs a command with what is left of the time, and notes how it ended
step() {
  local name=$1 started=$SECONDS left=$((deadline - SECONDS))
  shift
  if [ "$left" -le 5 ]; then
    echo "$name: left out, no time is left" | tee -a "$out/summary.txt"
    return
  fi
  timeout "$left" "$@" > "$out/$name.log" 2>&1
  echo "$name: exit code $?, $((SECONDS - started)) s" | tee -a "$out/summary.txt"
}

train=("$python" train.py "--dataset=$dataset" "--epochs=$epochs" "--export_dir=$out/exports")
step devices "$python" -c 'import tensorflow as tf; print(tf.config.list_physical_devices())'
for precision in float32 mixed_bfloat16; do
  step "compare-$precision" "$python" -m benchmarks.compare --models="$models" --rounds="$epochs" \
    --precision="$precision" --contenders=keras,torch,torch_compile "${examples[@]}"
done
step xla "${train[@]}" --model=cnn --run_dir="$out/runs/xla" --jit_compile
step no-xla "${train[@]}" --model=cnn --run_dir="$out/runs/no-xla" --nojit_compile
step check "$python" -m zoo check "$out/exports/cnn"
step resume "$python" -m benchmarks.soak --kills=1 -- --model=lenet5 --dataset=mnist_5k \
  --epochs="$epochs"
step two-devices "$python" -m benchmarks.two_devices --model=cnn --dataset=mnist_5k \
  --strategy=mirrored --epochs="$epochs" --run_dir="$out/runs/two" --export_dir="$out/exports"
# fails if a step did
! grep -v ': exit code 0,' "$out/summary.txt"
