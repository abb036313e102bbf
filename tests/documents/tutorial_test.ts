/** docs/tutorial.md: every command of it is one that its program takes, and its table of costs is computed right. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "@std/path";
import { parseConfig as parseCoordinator } from "../../coordinator/config/config.ts";
import { estimateTime } from "../../coordinator/estimate/time_estimate.ts";
import { parseDoctorOptions } from "../../deploy/doctor/options.ts";
import { parseOptions as parseRunPod } from "../../deploy/runpod/options.ts";
import { parsePlanOptions, parseTrainOptions } from "../../deploy/train/options.ts";
import { parseConfig as parseWorker } from "../../worker/config.ts";
import { parseEvaluateOptions } from "../../worker/evaluate/options.ts";
import { root } from "./named_tests.ts";

const page = await Deno.readTextFile(join(root, "docs/tutorial.md"));

type Environment = Readonly<Record<string, string>>;
type Parse = (args: readonly string[], environment: Environment) => unknown;

/** Each throws for what its program refuses, and returns null for --help. */
const PROGRAMS: Readonly<Record<string, Parse>> = {
  "plan": parsePlanOptions,
  "train": parseTrainOptions,
  "evaluate": parseEvaluateOptions,
  "doctor": parseDoctorOptions,
  "setup": (args) => assertEquals(args, []),
  "coordinator": (args, env) => parseCoordinator(args, (name) => env[name]),
  "worker": (args, env) => parseWorker(args, (name) => env[name], () => "host"),
  "deploy:runpod": (args, env) => parseRunPod(args, (name) => env[name]),
};

/** Lines of the page that a reader types: in blocks of sh, and whole commands in the text. */
function commands(): readonly string[] {
  const blocks = [...page.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].flatMap(([, block]) =>
    block!.split("\n")
  );
  const inline = [...page.matchAll(/`(deno task [^`]+ --[^`]+)`/g)].map(([, line]) => line!);
  return [...blocks, ...inline].map((line) => line.trim()).filter((line) => line !== "");
}

/** What a reader puts in place of what only he knows. */
function filledIn(line: string): string {
  const join = line.includes("/join/") ? "x".repeat(20) : "x";
  return line.replaceAll("…", join).replace(/<(\w+)>/g, "$1").replace(
    /\$\(openssl[^)]*\)/,
    "0123456789abcdef",
  );
}

Deno.test("every command of the tutorial is one that its program takes", () => {
  const environment: Record<string, string> = { HOME: "/home/user" };
  const tried: string[] = [];
  for (const line of commands()) {
    const words = filledIn(line).match(/'[^']*'|"[^"]*"|\S+/g)!.map((word) =>
      word.replace(/^['"]|['"]$/g, "")
    );
    const [, name, value] = /^export (\w+)=(.*)$/.exec(filledIn(line)) ?? [];
    if (name !== undefined) environment[name] = value!;
    if (words[0] !== "deno" || words[1] !== "task") continue;
    const parse = PROGRAMS[words[2]!];
    assert(parse !== undefined, `${line}: not among the programs of this test`);
    // A worker's join line has an address of its own.
    const args = words.slice(3).map((word) =>
      word === "x" ? "http://fleet.example:8787/join/" + "x".repeat(20) : word
    );
    assertNotEquals(parse(args, environment), null, line);
    tried.push(words[2]!);
  }
  assertEquals([...new Set(tried)].toSorted(), Object.keys(PROGRAMS).toSorted());
});

Deno.test("the tutorial's table of costs is what the plan computes from speeds and prices", () => {
  const [, millions] = /For a run of (\d+) million tokens/.exec(page) ?? [];
  const rows = [
    ...page.matchAll(/^\| (\d+) × .*?\| (\d+) +\|.*\| ([\d.]+) +\| ([\d.]+) +\| ([\d.]+) +\|$/gm),
  ];
  assertEquals(rows.length, 6);
  for (const [row, count, speed, price, hours, dollars] of rows) {
    const fleet = { tokensPerSecond: Number(speed), workers: Number(count), source: "given" };
    const { seconds, cost } = estimateTime(Number(millions) * 1e6, fleet, Number(price));
    assertEquals([(seconds! / 3600).toFixed(2), cost!.toFixed(2)], [hours, dollars], row);
  }
});
