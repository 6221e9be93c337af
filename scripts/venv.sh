# Sourced by the other scripts: makes and enters the project's virtual environment, once per change of pyproject.toml.
# FRAMEGATE_VENV names another place for it. Needs python3 (3.11 or newer) with venv, and a package index for pip.
fg_extra=${fg_extra:-dev}
fg_venv=${FRAMEGATE_VENV:-$PWD/.venv}
fg_python=
for fg_candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if "$fg_candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    fg_python=$fg_candidate
    break
  fi
done
if [ -z "$fg_python" ]; then
  echo "framegate needs Python 3.11 or newer; ${PYTHON:-python3} is older or missing. Set PYTHON=/path/to/python3.11." >&2
  exit 1
fi
if [ ! -x "$fg_venv/bin/python" ] && ! "$fg_python" -m venv "$fg_venv" 2>/dev/null; then
  rm -rf "$fg_venv"
  echo "python3-venv is missing: installing it with apt" >&2
  fg_sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $fg_sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $fg_sudo apt-get install -y -qq --no-install-recommends python3-venv >&2
  "$fg_python" -m venv "$fg_venv"
fi
fg_want="$fg_extra $(sha256sum pyproject.toml | cut -d' ' -f1)"
if ! grep -qxF "$fg_want" "$fg_venv/.framegate" 2>/dev/null; then
  echo "installing framegate[$fg_extra] into $fg_venv (a minute or two the first time)" >&2
  "$fg_venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$fg_extra]"
  echo "$fg_want" >> "$fg_venv/.framegate"
fi
PATH="$fg_venv/bin:$PATH"
export PATH
