/** Imports against the tables in rooms.ts, and against what a room must not reach behind its imports. */
import { type ImportGraph, isTest, reachable } from "./import_graph.ts";
import { ALL, ROOMS, SIDES } from "./rooms.ts";

/** Each import that breaks a rule as one line that names the two files. */
export function brokenDirections(graph: ImportGraph): string[] {
  return [...graph].flatMap(([from, imports]) => [
    ...imports.flatMap((to) => [...sideFaults(from, to), ...roomFaults(from, to)]),
    ...boundaryFaults(graph, from, imports),
  ]);
}

const sideOf = (path: string) => path.split("/")[0]!;

/** "coordinator/fleet" for all files in and below it, "coordinator/." for coordinator/main.ts. */
export function roomOf(path: string): string {
  const [side, room, ...rest] = path.split("/");
  return `${side}/${rest.length === 0 ? "." : room}`;
}

/** The only file that reads the version in deno.json. */
const VERSION_FILE = "shared/protocol/release.ts";

function sideFaults(from: string, to: string): string[] {
  if (to === "deno.json") {
    return from === VERSION_FILE ? [] : [`${from} imports ${to}: only ${VERSION_FILE} may`];
  }
  const [side, target] = [sideOf(from), sideOf(to)];
  const allowed = [side, ...SIDES[side] ?? []];
  // A test beside its file may use the tools of the tests.
  if (target === "tests" && isTest(from)) return [];
  if (target === "tests") return [`${from} imports ${to}: only tests import tests`];
  if (allowed.includes(target)) return [];
  return [`${from} imports ${to}: ${side}/ may import ${allowed.map((name) => `${name}/`).join(", ")}`];
}

function roomFaults(from: string, to: string): string[] {
  const side = sideOf(from);
  const [room, target] = [roomOf(from), roomOf(to)];
  const rooms = ROOMS[side];
  if (rooms === undefined || sideOf(to) !== side || room === target || isTest(from)) return [];
  if (isTest(to)) return [`${from} imports ${to}: only tests import fixtures`];
  const allowed = rooms[room.slice(side.length + 1)];
  if (allowed === undefined) return [`${from}: ${room} is no room in tests/house/rooms.ts`];
  if (allowed === ALL || allowed.includes(target.slice(side.length + 1))) return [];
  return [`${from} imports ${to}: ${room} may import ${allowed.join(", ") || "no other room"} of ${side}/`];
}

/** Rooms of the GPU's code, which must not know, however indirectly, that messages exist. */
const GPU_ROOMS = ["kernels", "device", "model", "files", "nf4", "optimizer", "engine"].map((room) =>
  `worker/${room}/`
);
const MESSAGES = [
  "shared/bus/",
  "shared/protocol/messages",
  "shared/protocol/subjects",
  "shared/protocol/tensor_frame",
  "worker/allreduce/",
];
const GPU = ["kernels", "device", "model", "engine"].map((room) => `worker/${room}/`);
const ALLREDUCE = ["worker/allreduce/"];
/** The only room in which the GPU and the all-reduce meet. */
const MEETING_PLACE = "worker/step/";

function boundaryFaults(graph: ImportGraph, from: string, imports: readonly string[]): string[] {
  if (isTest(from)) return [];
  const reached = (rooms: readonly string[]) => [...reachable(graph, from)].filter((to) => liesIn(to, rooms));
  const faults: string[] = [];
  if (liesIn(from, GPU_ROOMS)) {
    faults.push(...reached(MESSAGES).map((to) => `${from} reaches ${to}: the GPU's code knows no messages`));
  }
  if (liesIn(from, ALLREDUCE)) {
    faults.push(...reached(GPU).map((to) => `${from} reaches ${to}: the all-reduce knows no GPU`));
  }
  const imported = (rooms: readonly string[]) => imports.some((to) => liesIn(to, rooms));
  if (!from.startsWith(MEETING_PLACE) && imported(GPU) && imported(ALLREDUCE)) {
    faults.push(`${from} imports both the GPU and the all-reduce: only ${MEETING_PLACE} may`);
  }
  return faults;
}

function liesIn(path: string, rooms: readonly string[]): boolean {
  return rooms.some((room) => path.startsWith(room));
}
