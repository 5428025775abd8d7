#!/usr/bin/env bash
# Prints the folder of llama.cpp's programs, built if they are not there; PEER_BIN names another folder.
#
# On a processor with AMX the build that detects the processor, made with GCC 12, dies of an illegal instruction (the first one
# after the unit was set up) in ggml's AMX path. There a second build of the same source, beside the first, has every other
# feature that such processors have.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -n ${PEER_BIN:-} ]]; then
  echo "$PEER_BIN"
  exit
fi
bin=$(../shared/tools/llama_cpp.sh)
if grep -qw amx_int8 /proc/cpuinfo; then
  src=$(realpath "$bin/../..")
  bin=$src/build-noamx/bin
  features=(SSE42 AVX AVX2 BMI2 FMA F16C AVX_VNNI AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16)
  features=("${features[@]/#/-DGGML_}")
  if [[ ! -x $bin/llama-batched-bench ]]; then
    cmake -S "$src" -B "$src/build-noamx" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=OFF \
      "${features[@]/%/=ON}" -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF >&2
    cmake --build "$src/build-noamx" -j "$(nproc)" --target llama-bench llama-batched-bench >&2
  fi
fi
echo "$bin"
