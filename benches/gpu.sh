#!/usr/bin/env bash
# Compares a GPU with the CPU: benches/gpu.sh MODEL [DEVICE], with a program that is built with the feature gpu; BENCH has further arguments of
# `whinchat bench`. Prints Markdown: the devices, then tokens per second of both, and what a step takes of the host.
set -euo pipefail
cd "$(dirname "$0")/.."

model=${1:?which model: a path or a name}
device=${2:-gpu}
program=${WHINCHAT:-target/release/whinchat}
read -ra arguments <<<"${BENCH:---prompt 128 --generate 32 --batch 1,8}"

echo "# ${model##*/} on $device and on the CPU"
echo
echo '```text'
"$program" --version
"$program" devices
for which in "$device" cpu; do
  echo
  echo "whinchat bench --device $which ${arguments[*]}"
  "$program" bench --model "$model" --device "$which" "${arguments[@]}"
done
if [[ -n ${STEP:-} ]]; then
  echo
  "$STEP" 24 1
  "$STEP" 24 32
fi
echo '```'
