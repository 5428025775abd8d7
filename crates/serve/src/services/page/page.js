
"use strict";
const find = (id) => document.getElementById(id);
const show = (id, value) => { find(id).textContent = typeof value === "string" ? value : JSON.stringify(value, null, 2); };
let examples = [];

// Of an answer that is refused only the code counts; else every field that the example names.
const fits = (wanted, is) => {
  if (wanted === null || typeof wanted !== "object") return wanted === is;
  if (is === null || typeof is !== "object" || Array.isArray(wanted) !== Array.isArray(is)) return false;
  if (Array.isArray(wanted) && wanted.length !== is.length) return false;
  return Object.keys(wanted).every((key) => fits(wanted[key], is[key]));
};

async function ask(method, path, body) {
  const options = method === "GET" ? { method } : { method, body, headers: { "content-type": "application/json" } };
  const answer = await fetch(path, options);
  const text = await answer.text();
  let value = text;
  try { value = JSON.parse(text); } catch { /* it is shown as it is */ }
  return { status: answer.status, value };
}

function choose() {
  const example = examples[find("example").value];
  if (!example) return;
  find("path").value = `${example.method} ${example.path}`;
  find("request").value = example.request === null ? "" : JSON.stringify(example.request, null, 2);
}

async function run(event) {
  event.preventDefault();
  const [method, path] = find("path").value.trim().split(/\s+/);
  try {
    const { status, value } = await ask(method, path, find("request").value);
    const example = examples[find("example").value];
    const same = example && status === example.status && fits(example.response, value);
    show("verdict", `HTTP ${status}${same ? ": the answer of the example" : ""}`);
    show("response", value);
  } catch (error) {
    show("verdict", `No answer: ${error.message}`);
    show("response", "");
  }
  await look();
}

async function all() {
  const wrong = [];
  for (const example of examples) {
    const { status, value } = await ask(example.method, example.path, JSON.stringify(example.request));
    if (status !== example.status || !fits(example.response, value)) wrong.push({ example, status, value });
  }
  show("verdict", `${examples.length - wrong.length} of ${examples.length} examples have the answer that they must have`);
  show("response", wrong.length ? wrong : "");
  await look();
}

async function look() {
  const health = await ask("GET", "/health");
  show("health", [health.value.status, ...(health.value.reasons ?? [])].join("; "));
  show("state", (await ask("GET", "/debug")).value);
}

async function start() {
  examples = (await ask("GET", "/examples")).value.examples;
  examples.forEach((example, index) => {
    const option = document.createElement("option");
    option.value = index;
    option.textContent = `${example.path}: ${example.about}`;
    find("example").append(option);
  });
  find("example").addEventListener("change", choose);
  find("form").addEventListener("submit", run);
  find("all").addEventListener("click", all);
  find("look").addEventListener("click", look);
  choose();
  await look();
}
start();
