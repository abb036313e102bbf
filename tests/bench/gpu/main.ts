/**
 * Everything that only a machine with a GPU can show, in one call of at most ten minutes: all kernels beside their references, a
 * training step of 1B and 7B shapes beside the lens's prediction and beside PyTorch, Dawn's matrix units, and the demo.
 *
 *     deno task bench:gpu [--out gpu-out] [--report folder] [--python python3] [--minutes 9.5] [--parts step_1b,peers_1b] [--tiny]
 *
 * Each part has a process, a time limit and a file of raw output of its own; one that fails does not stop the next. The folder then has
 * summary.md, too. --report has two files written, anew after each part: summary.md and raw.txt, with the output and the numbers of all
 * parts, for machines that give few files back. Nothing is downloaded: run `deno task setup` and `deno cache --no-lock npm:webgpu@0.6.2` where there is a network
 * (docs/benchmarks/gpu.md). The parts are contracts, step_1b, step_7b, peers_1b, peers_7b, dawn and demo; --tiny tries the script with
 * small shapes on any driver: contracts, step_tiny, peers_tiny, dawn and demo.
 */
import { parseArgs } from "node:util";
import { resolve } from "@std/path";
import { messageOf, quote } from "../../../shared/errors.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import { runChild } from "../../runner/child.ts";
import { jsonPath, type Part, type PartOptions, partsOf, ROOT, shapesOf, writeConfigs } from "./parts.ts";
import { type PartOutcome, type ShapeResult, summaryText } from "./summary.ts";

/** A part that begins with less cannot end. */
const MIN_SECONDS = 5;
const SHOWN_CHARACTERS = 160;

/** Runs one part; whatever happens is its outcome. */
async function runPart(part: Part, out: string, leftSeconds: number): Promise<PartOutcome> {
  const { name, title, limitSeconds, command, args } = part;
  if (leftSeconds < MIN_SECONDS) {
    return { name, title, outcome: "not begun: no time left", seconds: 0, lastLine: "" };
  }
  const startedAt = performance.now();
  using file = await Deno.open(`${out}/${name}.txt`, { write: true, create: true, truncate: true });
  const write = (text: string) => {
    for (let bytes = new TextEncoder().encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(file.writeSync(bytes));
    }
  };
  const seconds = () => (performance.now() - startedAt) / 1000;
  try {
    const { succeeded, isLate, exitCode, output } = await runChild({
      ...command === undefined ? {} : { command },
      ...{ args, folder: ROOT, env: { NO_COLOR: "1" }, onOutput: write },
      deadlineMs: 1000 * Math.min(limitSeconds, leftSeconds),
      signal: new AbortController().signal,
    });
    if (succeeded) return { name, title, outcome: "done", seconds: seconds(), lastLine: "" };
    write(`\n${isLate ? "ended by its time limit" : `exit code ${exitCode}`}\n`);
    const outcome = isLate ? "out of time" : "failed";
    return { name, title, outcome, seconds: seconds(), lastLine: lastLineOf(output) };
  } catch (thrown) {
    write(`${messageOf(thrown)}\n`);
    return { name, title, outcome: "failed", seconds: seconds(), lastLine: messageOf(thrown) };
  }
}

function lastLineOf(output: string): string {
  const lines = output.split("\n").map((line) => line.trim()).filter((line) => /[a-z]/i.test(line));
  // A stack names no cause, and Deno's own ends its output.
  const told = lines.filter((line) => !/^(at |\d+: |stack backtrace)/i.test(line));
  return (told.at(-1) ?? "").slice(0, SHOWN_CHARACTERS);
}

async function readJson<T>(path: string): Promise<T | null> {
  return await Deno.readTextFile(path).then((text) => JSON.parse(text), () => null);
}

/** Output and numbers of the parts so far, in one text. */
async function rawText(out: string, outcomes: readonly PartOutcome[]): Promise<string> {
  const texts = await Promise.all(outcomes.map(async ({ name, outcome, seconds }) => {
    const read = (path: string) => Deno.readTextFile(path).catch(() => "");
    const [output, json] = [await read(`${out}/${name}.txt`), await read(jsonPath(out, name))];
    return [`==== ${name}: ${outcome}, ${seconds.toFixed(1)} s`, output, json].filter((text) => text !== "")
      .join("\n");
  }));
  return `${texts.join("\n")}\n`;
}

/** What stands for the machine in the report. */
async function machineText(): Promise<string> {
  const query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
  let gpu = "nvidia-smi is not here";
  try {
    gpu = new TextDecoder().decode((await new Deno.Command("nvidia-smi", { args: query }).output()).stdout)
      .trim();
  } catch {
    // Another vendor's, or none.
  }
  return `${
    new Date().toISOString()
  }, deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} processors, ` +
    `load ${Deno.loadavg()[0]!.toFixed(1)}; ${gpu}`;
}

interface RunOptions extends PartOptions {
  /** Null: none. */
  readonly report: string | null;
  /** Null: all parts. */
  readonly wanted: readonly string[] | null;
  readonly minutes: number;
}

async function main(options: RunOptions): Promise<void> {
  const { out, isTiny, report, wanted, minutes } = options;
  for (const folder of [out, ...report === null ? [] : [report]]) {
    await Deno.mkdir(folder, { recursive: true });
  }
  await writeConfigs(out, isTiny);
  const all = await partsOf(options);
  const unknown = wanted?.find((name) => all.every((part) => part.name !== name));
  if (unknown !== undefined) {
    const names = all.map(({ name }) => name).join(", ");
    throw new Error(`--parts has ${quote(unknown)}; the parts are ${names}`);
  }
  const machine = await machineText();
  const startedAt = performance.now();
  const outcomes: PartOutcome[] = [];
  for (const part of all.filter(({ name }) => wanted === null || wanted.includes(name))) {
    await Deno.remove(jsonPath(out, part.name)).catch(() => {});
    const outcome = await runPart(part, out, 60 * minutes - (performance.now() - startedAt) / 1000);
    outcomes.push(outcome);
    console.log(`${part.name}: ${outcome.outcome}, ${outcome.seconds.toFixed(1)} s`);
    const shapes = await Promise.all(
      shapesOf(isTiny).map(async ({ name }): Promise<ShapeResult> => ({
        name,
        ours: await readJson(jsonPath(out, `step_${name}`)),
        peers: await readJson(jsonPath(out, `peers_${name}`)),
      })),
    );
    // After each part: whoever stops the script has what there is.
    const summary = summaryText(machine, outcomes, shapes);
    await Deno.writeTextFile(`${out}/summary.md`, summary);
    if (report === null) continue;
    await Deno.writeTextFile(`${report}/summary.md`, summary);
    await Deno.writeTextFile(`${report}/raw.txt`, await rawText(out, outcomes));
  }
  console.log(`${out}/summary.md`);
}

if (import.meta.main) {
  exitWithHelp(import.meta.url);
  const { values } = parseArgs({
    options: {
      ...{ out: { type: "string", default: "gpu-out" }, python: { type: "string", default: "python3" } },
      ...{ minutes: { type: "string", default: "9.5" }, parts: { type: "string" } },
      ...{ tiny: { type: "boolean", default: false }, report: { type: "string" } },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes is ${quote(values.minutes)}; a number above 0 is needed`);
  await main({
    ...{ out: resolve(values.out), python: values.python, isTiny: values.tiny, minutes },
    report: values.report === undefined ? null : resolve(values.report),
    wanted: values.parts?.split(",") ?? null,
  });
}
