#!/usr/bin/env bash
# Makes flamegraph.min.js and LICENSES.txt anew from npm: d3-flame-graph and the parts of D3 it stands on, in one file.
# Needs npm and a network; building gpa needs neither. To take newer versions, change the two lines below.
set -euo pipefail
flame_graph=d3-flame-graph@5.0.0
bundler=esbuild@0.28.2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund "$flame_graph" "$bundler"
cat >entry.js <<'END'
export { default as flamegraph } from 'd3-flame-graph';
export { select } from 'd3-selection';
END
npx esbuild entry.js --bundle --minify --format=iife --global-name=flameGraphLibrary --target=es2020 \
  --legal-comments=none --metafile=parts.json --outfile=flamegraph.min.js
cp flamegraph.min.js "$here/flamegraph.min.js"
# Of each package that went in: name, version, licence, as the package has them.
node >"$here/LICENSES.txt" -e '
  const fs = require("fs");
  const inputs = Object.keys(JSON.parse(fs.readFileSync("parts.json")).inputs);
  const names = [...new Set(inputs.map((i) => /^node_modules\/([^/]+)\//.exec(i)).filter(Boolean).map((m) => m[1]))].sort();
  for (const name of names) {
    const of = JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`));
    console.log(`${"=".repeat(78)}\n${name} ${of.version} (${of.license})\n${"=".repeat(78)}\n`);
    console.log(fs.readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim() + "\n");
  }'
