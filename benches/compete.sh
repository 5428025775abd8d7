#!/usr/bin/env bash
# Measures what competing processes leave of the speed of whinchat and llama.cpp; see --help and README.md.
set -euo pipefail
exec "${WHINCHAT_PYTHON:-python3}" "$(dirname "$0")/compete.py" "$@"
