#!/usr/bin/env bash
# Compares the speed of whinchat and llama.cpp; --help says what can be chosen, README.md what comes out.
set -euo pipefail
exec "${WHINCHAT_PYTHON:-python3}" "$(dirname "$0")/compare.py" "$@"
