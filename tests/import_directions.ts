/** The import directions of the architecture as pure rules over the import graph. */
import { type ImportGraph, reachable } from "./import_graph.ts";

/** Each broken rule as one line that names the two files; empty when all is well. */
export function brokenDirections(graph: ImportGraph): string[] {
  return [...directRules(graph), ...reachRules(graph)];
}

const topFolder = (path: string) => path.split("/")[0]!;
const isTest = (path: string) => /_test\.tsx?$/.test(path) || path.startsWith("tests/");

/** For the code of each top folder, the top folders that it may import from. */
const allowed: Record<string, readonly string[]> = {
  shared: ["shared"],
  coordinator: ["coordinator", "shared"],
  worker: ["worker", "shared"],
  // The demo and the set-up drive the others as child processes and over HTTP.
  deploy: ["deploy", "shared"],
  tests: ["tests", "shared", "coordinator", "worker", "deploy"],
};

function directRules(graph: ImportGraph): string[] {
  const broken: string[] = [];
  for (const [from, imports] of graph) {
    for (const to of imports) {
      if (
        !allowed[topFolder(from)]?.includes(topFolder(to)) && !(isTest(from) && topFolder(to) === "tests")
      ) {
        broken.push(
          `${from} imports ${to}: ${topFolder(from)}/ may import ${allowed[topFolder(from)]?.join(", ")}`,
        );
      }
      if (!isTest(from) && isTest(to)) broken.push(`${from} imports ${to}: nothing but tests imports tests`);
    }
  }
  return broken;
}

/** Folders whose code must not know, however indirectly, that there are messages. */
const gpuFolders = [
  "worker/kernels/",
  "worker/device/",
  "worker/model/",
  "worker/files/",
  "worker/nf4/",
  "worker/optimizer/",
  "worker/engine/",
];
const messageCode = [
  "shared/bus/",
  "shared/protocol/messages",
  "shared/protocol/subjects",
  "shared/protocol/tensor_frame",
  "worker/allreduce/",
];
const gpuCode = ["worker/kernels/", "worker/device/", "worker/model/", "worker/engine/"];
/** The only folder in which the GPU and the all-reduce meet. */
const meetingPlace = "worker/step/";
/** Interfaces, which carry no code: an all-reduce may name an engine's gradient layout. */
const startsWithAny = (path: string, prefixes: readonly string[]) =>
  prefixes.some((prefix) => path.startsWith(prefix));

function reachRules(graph: ImportGraph): string[] {
  const broken: string[] = [];
  for (const [from, imports] of graph) {
    if (isTest(from)) continue;
    if (startsWithAny(from, gpuFolders)) {
      for (const to of reachable(graph, from)) {
        if (startsWithAny(to, messageCode)) {
          broken.push(`${from} reaches ${to}: the GPU's code knows no messages`);
        }
      }
    }
    if (from.startsWith("worker/allreduce/")) {
      for (const to of reachable(graph, from)) {
        if (startsWithAny(to, gpuCode)) broken.push(`${from} reaches ${to}: the all-reduce knows no GPU`);
      }
    }
    const seesGpu = imports.some((to) => startsWithAny(to, gpuCode));
    const seesReduce = imports.some((to) => to.startsWith("worker/allreduce/"));
    if (seesGpu && seesReduce && !from.startsWith(meetingPlace)) {
      broken.push(`${from} sees both the GPU and the all-reduce: only ${meetingPlace} may`);
    }
  }
  return broken;
}

/** Files that may read the machine's clock, draw its randomness or set timers: mains and adapters to the real world. */
const realWorld = [
  /(^|\/)(main|run)\.ts$/,
  /^shared\/clock\.ts$/,
  /^shared\/bus\/nats_/,
  /^tests\//,
  /_test\.tsx?$/,
];

/** Uses of the real clock or of unseeded randomness outside of mains and adapters, one line for each. */
export function realWorldUses(path: string, source: string): string[] {
  if (realWorld.some((pattern) => pattern.test(path))) return [];
  const uses: string[] = [];
  const withoutComments = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, (text) => text.replace(/[^\n]/g, ""));
  for (const [index, code] of withoutComments.split("\n").entries()) {
    const match = /\b(Date\.now|Math\.random|setTimeout|setInterval)\b|\bnew Date\(\)/.exec(code);
    if (match) {
      uses.push(`${path}:${index + 1} uses ${match[0]}: take it from shared/clock.ts or shared/prng.ts`);
    }
  }
  return uses;
}
