#!/usr/bin/env bash
# Compares the speed of two builds of whinchat: benches/versions.sh PROGRAM, the earlier one's; --help says what can be chosen.
set -euo pipefail
exec "${WHINCHAT_PYTHON:-python3}" "$(dirname "$0")/versions.py" "$@"
