#!/bin/sh
# Makes .venv if it is not there and installs WHAT into it: install.sh PYTHON WHAT.
# Where there is no NVIDIA GPU, a CPU build of torch is preferred: the default one brings several GB of CUDA with it.
set -eu
python=$1 what=$2
torch_version=2.13.0

"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2])' || {
    echo "mezzotint needs Python 3.10 or newer; name one: make PYTHON=python3.11 …" >&2
    exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=".venv/bin/python -m pip --disable-pip-version-check"

if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    if command -v nvidia-smi >/dev/null 2>&1 || [ "$(uname -s)" = Darwin ]; then
        $pip install --quiet "torch>=2.6"
    elif $pip install --quiet "torch==$torch_version+cpu" 2>/dev/null; then
        : # a package index or folder that pip is set up with has the CPU build
    elif $pip install --quiet uv && .venv/bin/uv pip install --quiet --python .venv/bin/python \
        --torch-backend cpu "torch==$torch_version" 2>/dev/null; then
        : # uv knows where PyTorch keeps its CPU builds
    else
        echo "no CPU build of torch is within reach: installing the default one, which is large" >&2
        $pip install --quiet "torch==$torch_version"
    fi
fi
$pip install --quiet --editable "$what"
