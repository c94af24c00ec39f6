// Opens files in the YAML language server that editors use (VS Code, Neovim, Helix, Emacs, ...) and holds what it says against `taskrun check`.
//
//   node tests/yaml-language-server.mjs [TASKRUN]
//
// A person runs it: it needs npm, which puts the server into a folder outside the repository. `cargo test --test schema` holds the same files against
// `taskrun check` and against the schema itself.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const taskrun = process.argv[2] ?? "target/debug/taskrun";
const MARK = "# <-- wrong";
const LIMIT_MS = 20_000;
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "taskrun-yaml-language-server");
const program = join(cache, "node_modules/yaml-language-server/bin/yaml-language-server");
if (!existsSync(program)) {
  mkdirSync(cache, { recursive: true });
  execFileSync("npm", ["install", "--silent", "--prefix", cache, "yaml-language-server@1"], { stdio: "inherit" });
}

class Server {
  constructor() {
    this.process = spawn(process.execPath, [program, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    this.buffer = Buffer.alloc(0);
    this.waiting = new Map();
    this.told = new Map();
    this.id = 0;
    this.process.stdout.on("data", (piece) => this.read(piece));
  }

  write(message) {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.process.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  read(piece) {
    this.buffer = Buffer.concat([this.buffer, piece]);
    for (;;) {
      const head = this.buffer.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/Content-Length: (\d+)/i.exec(this.buffer.toString("ascii", 0, head))[1]);
      if (this.buffer.length < head + 4 + length) return;
      const message = JSON.parse(this.buffer.toString("utf8", head + 4, head + 4 + length));
      this.buffer = this.buffer.subarray(head + 4 + length);
      this.take(message);
    }
  }

  take(message) {
    if (message.method === "workspace/configuration") {
      const answers = { yaml: { validate: true, completion: true, hover: true, schemaStore: { enable: false } } };
      this.write({ id: message.id, result: message.params.items.map((item) => answers[item.section] ?? null) });
    } else if (message.method === "textDocument/publishDiagnostics") {
      this.told.get(message.params.uri)?.(message.params.diagnostics);
    } else if (message.method && message.id !== undefined) {
      this.write({ id: message.id, result: null });
    } else if (message.id !== undefined) {
      this.waiting.get(message.id)?.(message.result);
    }
  }

  ask(method, params) {
    const id = ++this.id;
    const answer = new Promise((done) => this.waiting.set(id, done));
    this.write({ id, method, params });
    return within(answer, method);
  }

  open(uri, text) {
    const told = new Promise((done) => this.told.set(uri, done));
    this.write({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
    return within(told, uri);
  }

  async words(uri, text) {
    const at = text.indexOf("|");
    const before = text.slice(0, at).split("\n");
    await this.open(uri, text.replace("|", ""));
    const position = { line: before.length - 1, character: before.at(-1).length };
    const answer = await this.ask("textDocument/completion", { textDocument: { uri }, position });
    return (answer.items ?? answer).map((item) => item.label);
  }
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`no answer in time: ${what}`)), LIMIT_MS)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const server = new Server();
const root = pathToFileURL(resolve(".")).href;
await server.ask("initialize", {
  processId: process.pid,
  rootUri: root,
  capabilities: { workspace: { configuration: true }, textDocument: { completion: {}, publishDiagnostics: {} } },
});
server.write({ method: "initialized", params: {} });

let wrong = 0;
const say = (good, text) => {
  wrong += good ? 0 : 1;
  console.log(`${good ? "ok  " : "FAIL"} ${text}`);
};
const lines = (list) => [...new Set(list)].sort((a, b) => a - b).join(", ");

// What is broken is marked at the same line.
const folder = "tests/data/broken";
for (const name of readdirSync(folder).sort()) {
  const path = join(folder, name);
  const text = readFileSync(path, "utf8");
  const marked = text.split("\n").flatMap((line, index) => (line.endsWith(MARK) ? [index + 1] : []));
  let checked = [];
  try {
    execFileSync(taskrun, ["check", path, "--json"], { env: { ...process.env, TOKEN: "t" } });
  } catch (error) {
    checked = JSON.parse(error.stdout).faults.map((fault) => fault.line);
  }
  const found = await server.open(pathToFileURL(resolve(path)).href, text);
  const seen = found.map((one) => one.range.start.line + 1);
  const good = lines(checked) === lines(marked) && lines(seen) === lines(marked);
  say(good, `${name}: check ${lines(checked)}, editor ${lines(seen) || "nothing"}: ${found[0]?.message.split("\n")[0] ?? ""}`);
}

// What is right is not marked.
const head = "# yaml-language-server: $schema=./tasks.schema.json\n";
for (const name of ["tasks.yaml", ...readdirSync("examples").filter((name) => name.endsWith(".yaml")).map((name) => join("examples", name))]) {
  const found = await server.open(`${root}/right-${name.replaceAll("/", "-")}`, head + readFileSync(name, "utf8"));
  say(found.length === 0, `${name}: ${found.length === 0 ? "nothing wrong" : found.map((one) => `${one.range.start.line}: ${one.message}`).join("; ")}`);
}

// What is begun is completed; | is the cursor.
const completions = [
  ["the keys at the top", "|", ["timezone", "tasks", "accounts", "notify"]],
  ["the keys of a task", "tasks:\n  report:\n    |", ["handler", "schedule", "with", "overlap"]],
  ["handlers", "tasks:\n  report:\n    handler: |", ["command", "sync_inventory", "upload_tick", "health_check"]],
  ["a handler's parameters", "tasks:\n  report:\n    handler: upload_tick\n    with:\n      |", ["batch_size", "spacing", "pricing"]],
  ["another handler's", "tasks:\n  report:\n    handler: command\n    with:\n      |", ["run", "shell", "env", "cwd"]],
  ["words", "tasks:\n  report:\n    handler: command\n    overlap: |", ["last_wins", "skip", "queue", "allow"]],
];
for (const [index, [what, text, wanted]] of completions.entries()) {
  const words = await server.words(`${root}/completed-${index}.yaml`, head + text);
  const missing = wanted.filter((word) => !words.includes(word));
  say(missing.length === 0, `completes ${what}: ${words.length} words${missing.length ? `, without ${missing.join(", ")}` : ""}`);
}

server.process.kill();
console.log(wrong === 0 ? "all is as it should be" : `${wrong} wrong`);
process.exit(wrong === 0 ? 0 : 1);
