/**
 * Data: tokenising beside Python's tokenizers on one core, the preparation of a file with one thread and with several, and that of
 * a large file by a coordinator.
 *
 *     deno task bench:data --model <folder> --texts <folder> --python <python with tokenizers>
 *                          [--mb 120] [--prepare-mb 1000] [--threads 1,2] [--rounds 3]
 *                          [--only tokenise,threads,prepare]
 *                          [--gaps] with prepare: when the coordinator's event loop stood still, and in which function (Linux)
 *
 * `--texts` holds the texts that the rows are made of, such as Python's site-packages.
 */
import { parseArgs } from "node:util";
import { basename, dirname, fromFileUrl, join, resolve } from "@std/path";
import { exitWithHelp } from "../../documents/head_help.ts";
import { writeCorpus } from "./corpus.ts";
import { compareThreads } from "./threads.ts";
import { prepareLargeFile } from "./prepare.ts";

exitWithHelp(import.meta.url);

interface Tokenised {
  readonly tokens: number;
  readonly sha256: string;
  readonly cpu_s: number;
}

async function json<T>(command: string, args: readonly string[]): Promise<T> {
  const { success, stdout } = await new Deno.Command(command, { args: [...args], stderr: "inherit" })
    .output();
  if (!success) throw new Error(`${command} ${args.join(" ")} has failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const here = (name: string) => fromFileUrl(new URL(name, import.meta.url));

async function tokenise(model: string, path: string, python: string): Promise<void> {
  const { size } = await Deno.stat(path);
  const ours = await json<Tokenised>(Deno.execPath(), [
    "run",
    "-A",
    "-q",
    "--no-check",
    here("tokenise.ts"),
    model,
    path,
  ]);
  const theirs = await json<{ version: string; encode: Tokenised; encode_batch_fast: Tokenised }>(
    python,
    [here("tokenise.py"), join(model, "tokenizer.json"), path],
  );
  const line = (name: string, { tokens, cpu_s, sha256 }: Tokenised) =>
    console.log(
      `${name.padEnd(44)}${cpu_s.toFixed(1).padStart(10)}${(size / 1e6 / cpu_s).toFixed(2).padStart(8)}` +
        `${(theirs.encode.cpu_s / cpu_s).toFixed(2).padStart(10)}${String(tokens).padStart(12)}  ${
          sha256.slice(0, 16)
        }`,
    );
  console.log(`tokenising ${size} bytes with the tokenizer of ${basename(model)}, on one core`);
  console.log(
    `${"".padEnd(44)}${"CPU s".padStart(10)}${"MB/s".padStart(8)}${"ratio".padStart(10)}${
      "tokens".padStart(12)
    }  SHA-256 of the ids`,
  );
  line(`lorafleet (deno ${Deno.version.deno})`, ours);
  line(`Python tokenizers ${theirs.version}, encode`, theirs.encode);
  line(`Python tokenizers ${theirs.version}, encode_batch_fast`, theirs.encode_batch_fast);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      ...{ model: { type: "string" }, texts: { type: "string" }, python: { type: "string" } },
      ...{ mb: { type: "string", default: "120" }, "prepare-mb": { type: "string", default: "1000" } },
      ...{ threads: { type: "string", default: "1,2" }, rounds: { type: "string", default: "3" } },
      only: { type: "string", default: "tokenise,threads,prepare" },
      gaps: { type: "boolean", default: false },
    },
  });
  const { model, texts, python, only } = values;
  const counts = values.threads.split(",").map(Number);
  if (model === undefined || texts === undefined || python === undefined) {
    throw new Error("--model, --texts and --python are needed");
  }
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-data-" });
  try {
    console.log(
      `${navigator.hardwareConcurrency} cores, load average at the start ${Deno.loadavg()[0]!.toFixed(2)}`,
    );
    const path = join(folder, "rows.jsonl");
    if (only !== "prepare") await writeCorpus(path, texts, Number(values.mb) * 1e6);
    if (only.includes("tokenise")) await tokenise(resolve(model), path, python);
    if (only.includes("threads")) await compareThreads(resolve(model), path, counts, Number(values.rounds));
    if (only.includes("prepare")) {
      const unique = await writeCorpus(path, texts, Number(values["prepare-mb"]) * 1e6);
      console.log(
        `preparing ${(await Deno.stat(path)).size} bytes of rows, ${unique} of them before the texts repeat`,
      );
      for (const count of counts) {
        console.log(`with ${count === 1 ? "one thread" : `${count} threads that build rows`}`);
        await prepareLargeFile(
          path,
          `${folder}/data-${count}`,
          dirname(resolve(model)),
          basename(model),
          count,
          values.gaps,
        );
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
