/** docs/limits.md, made from the constants in the code: their values, and the comments above them. */
import { join } from "@std/path";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { root } from "./named_tests.ts";

/** What users and operators meet: file, constant, and what it limits. */
const CONSTANTS: Readonly<Record<string, readonly (readonly [file: string, name: string, what: string])[]>> =
  {
    "Uploads and requests": [
      ["coordinator/jobs/files/upload_store.ts", "MAX_PART_BYTES", "a part of an upload"],
      ["coordinator/jobs/files/upload_store.ts", "MAX_PARTS", "parts of an upload"],
      [
        "coordinator/jobs/files/upload_registry.ts",
        "MAX_PENDING",
        "pending uploads of the whole coordinator",
      ],
      [
        "coordinator/jobs/files/upload_registry.ts",
        "LIFETIME_MS",
        "how long an upload in parts stays pending",
      ],
      ["coordinator/api/routes/jobs.ts", "MAX_BODY_BYTES", "the body of a request for a job"],
      ["coordinator/api/routes/exports.ts", "MAX_BODY_BYTES", "the body of a request for an export"],
      ["coordinator/api/transport/bodies.ts", "MAX_OBJECT_BYTES", "the body of any other request in JSON"],
      ["coordinator/api/routes/expires_after.ts", "MAX_SECONDS", "the lifetime of a file, in seconds"],
    ],
    "Jobs and data": [
      ["shared/job/job_bounds.ts", "MAX_JOB_STEPS", "steps of a job"],
      ["shared/job/adapter_modules.ts", "MAX_ADAPTER_BYTES", "an adapter"],
      ["shared/data/rows/jsonl.ts", "MAX_LINE_BYTES", "a line of JSON lines"],
      ["shared/data/examples/row_weight.ts", "MAX_WEIGHT", "the weight of a row"],
      ["coordinator/job_request/openai.ts", "MAX_SUFFIX_LENGTH", "characters of a suffix"],
      ["coordinator/job_request/tracking.ts", "MAX_NAME_LENGTH", "characters of a run's name"],
      ["coordinator/job_request/tracking.ts", "MAX_TAGS", "tags of a run"],
      [
        "coordinator/api/routes/events/event_feed.ts",
        "KEPT_EVENTS",
        "newest events of a job that listeners get from memory; who is further behind gets them from the disk",
      ],
      ["coordinator/jobs/validation_queue.ts", "MAX_VALIDATIONS", "jobs that are prepared at a time"],
      [
        "coordinator/planning/preparation/prepared_cache.ts",
        "MAX_CACHE_BYTES",
        "prepared rows that are kept",
      ],
    ],
    "Exports and evaluation": [
      ["coordinator/exports/merge/shards.ts", "MAX_SHARD_BYTES", "a shard of a merged model"],
      ["worker/evaluate/options.ts", "MAX_NEW_TOKENS", "tokens of an answer"],
    ],
    "Disk": [
      [
        "coordinator/upkeep/disk_room.ts",
        "DEFAULT_SHARE",
        "share of the disk below which jobs pause by default",
      ],
      ["coordinator/upkeep/disk_room.ts", "MAX_DEFAULT_BYTES", "the most of it"],
      ["coordinator/upkeep/disk_room.ts", "HIGH_PER_LOW", "times that from which on they go on"],
    ],
    "Workers": [
      ["coordinator/fleet/flood_guard.ts", "MAX_WORKERS", "workers whose messages are counted"],
      ["coordinator/broker/nats_server_config.ts", "MAX_PAYLOAD_BYTES", "a message at the built-in broker"],
      ["worker/kernels/attention/attention.ts", "MAX_HEAD_DIM", "the size of an attention head"],
      ["worker/job/hosted_job.ts", "MAX_FAILED_SESSIONS", "failures after which a worker gives a job up"],
    ],
  };

export async function limitsDocument(): Promise<string> {
  const parts = [
    "# Limits\n\nMade from the constants in the code by `deno task limits`; a test keeps both equal. A request beyond a limit is " +
    "refused with\nan error that names it. What the operator sets is in `deno task coordinator --help`: the largest upload, " +
    "room that stays\nfree, retention; quotas belong to keys ([operations](operations.md)).\n\nNumbers of workers, queued jobs and " +
    "listeners have no limit of their own. Measured on two cores, with a job that trains: 500 workers,\n1,000 jobs, 200 " +
    "listeners, 340 MB, answers within 41 ms in 95 of 100 cases ([crowd.txt](benchmarks/crowd.txt)).\n",
  ];
  for (const [title, constants] of Object.entries(CONSTANTS)) {
    parts.push(`## ${title}\n\n| what | limit | constant |\n| --- | --- | --- |`);
    for (const [file, name, what] of constants) {
      parts.push(`| ${what} | ${shown(name, await valueOf(file, name))} | \`${name}\` in \`${file}\` |`);
    }
    parts.push("");
  }
  parts.push("## The fleet's protocol\n\n| name | value | why |\n| --- | --- | --- |");
  for (const { name, value, why } of await protocolLimits()) {
    parts.push(`| \`${name}\` | ${shown(name, value)} | ${why} |`);
  }
  return `${parts.join("\n")}\n`;
}

/** A constant's value, from its source. Throws if it is not there, or no number. */
async function valueOf(file: string, name: string): Promise<number> {
  const source = await Deno.readTextFile(join(root, file));
  const found = new RegExp(`^(?:export )?const ${name} = ([-+*\\d_.e() ]+);`, "m").exec(source);
  if (found === null) throw new Error(`${file} has no number ${name}`);
  return evaluated(found[1]!);
}

/** The entries of LIMITS, each with the comment above it, or that of the entry before. */
async function protocolLimits(): Promise<{ name: string; value: number; why: string }[]> {
  const source = await Deno.readTextFile(join(root, "shared/protocol/limits.ts"));
  return Object.entries(LIMITS).map(([name, value]) => {
    const comment = new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\s*${name}:`).exec(source)?.[1] ??
      "the same";
    return { name, value, why: comment.replaceAll(/\s*\n\s*\*\s*/g, " ").trim().replaceAll("|", "\\|") };
  });
}

/** Products and powers of numbers, less or more others. */
function evaluated(expression: string): number {
  const powers = expression.replaceAll("_", "")
    .replaceAll(/([\d.e]+)\s*\*\*\s*(\d+)/g, (_, base, power) => String(Number(base) ** Number(power)));
  const product = (text: string) => text.split("*").reduce((all, factor) => all * Number(factor), 1);
  const sum = (text: string) => text.split("+").map(product).reduce((a, b) => a + b);
  const value = powers.split("-").map(sum).reduce((a, b) => a - b);
  if (Number.isFinite(value)) return value;
  throw new Error(`${expression} is no number`);
}

function shown(name: string, value: number): string {
  const [unit, size] =
    [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]].find(([, size]) => value % Number(size) === 0) ??
      ["bytes", 1];
  if (/Bytes(?:PerSecond)?$|_BYTES$/.test(name) && value > 0) {
    return `${value / Number(size)} ${unit}${name.endsWith("PerSecond") ? "/s" : ""}`;
  }
  if (/Ms$|_MS$/.test(name)) return value >= 1000 && value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`;
  return String(value);
}
