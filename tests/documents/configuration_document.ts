/** docs/configuration.md, made from the usage texts of the programs, the variables that they read, and deno.json's permissions. */
import { join } from "@std/path";
import { walkFiles } from "./walk_files.ts";
import { GROUPS, type Program, SENTENCES } from "./configuration_programs.ts";
import { root } from "./named_tests.ts";

export const PROGRAMS: readonly Program[] = Object.values(GROUPS).flat();

interface DenoConfig {
  readonly tasks: Readonly<Record<string, { readonly description: string; readonly command: string }>>;
  readonly permissions: Readonly<Record<string, Readonly<Record<string, true | readonly string[]>>>>;
}

export async function denoConfig(): Promise<DenoConfig> {
  return JSON.parse(await Deno.readTextFile(join(root, "deno.json")));
}

/** Names that mean nothing but a variable, wherever they stand in quotes. */
const OURS = /"((?:LORAFLEET|NATS|HF|RUNPOD|MLFLOW|WANDB|TENSORBOARD|XDG|NVIDIA|OTEL|DENO)_[A-Z0-9_]+)"/g;
/** Any name that is asked for: `env("X")`, `Deno.env.get("X")`, `environment(condition ? "X" : "Y")`. */
const ASKED = /\b(?:env|environment|isOn|env\.(?:get|has|set))\(([^()]*)\)/g;

/** Variables that files of the programs read, each with these files. */
export async function variablesRead(): Promise<ReadonlyMap<string, readonly string[]>> {
  const read = new Map<string, string[]>();
  for (const side of ["coordinator", "worker", "shared", "deploy"]) {
    for await (const file of walkFiles(side, /(?<!_test|_fixture|\.d)\.ts$/)) {
      if (file.includes("/testing/")) continue;
      for (const name of namesRead(await Deno.readTextFile(join(root, file)))) {
        read.set(name, [...read.get(name) ?? [], file]);
      }
    }
  }
  return new Map([...read].toSorted(([a], [b]) => a < b ? -1 : 1));
}

/** Names of variables that this source reads. */
export function namesRead(source: string): readonly string[] {
  const ours = [...source.matchAll(OURS)].map(([, name]) => name!);
  const asked = [...source.matchAll(ASKED)].flatMap(([, argument]) =>
    [...argument!.matchAll(/"([A-Z][A-Z0-9_]+)"/g)].map(([, name]) => name!)
  );
  return [...new Set([...ours, ...asked])];
}

/** The option of a usage text on whose lines the variable stands; null: none. */
export function optionOf(usage: string, variable: string): string | null {
  const entries = usage.split(/\n(?= {2}\S)|\n\n/);
  const entry = entries.find((text) => new RegExp(`(?<!\\w)${variable}(?!\\w)`).test(text)) ?? "";
  const [options = ""] = /^\n* {2}--.*/.exec(entry) ?? [];
  const names = options.match(/--[\w-]+/g) ?? [];
  const sameName = `--${variable.replace("LORAFLEET_", "").replaceAll("_", "-").toLowerCase()}`;
  return names.find((name) => name === sameName) ?? names[0] ?? null;
}

/** Whether a permission set lets a program read a variable. */
export function isPermitted(patterns: true | readonly string[] | undefined, variable: string): boolean {
  if (patterns === true) return true;
  return (patterns ?? []).some((pattern) =>
    pattern.endsWith("*") ? variable.startsWith(pattern.slice(0, -1)) : variable === pattern
  );
}

export async function configurationDocument(): Promise<string> {
  const { tasks, permissions } = await denoConfig();
  const parts = [
    "# Configuration: every option, every variable\n\nMade from the programs' own help by `deno task configuration`; a test keeps " +
    "both equal.\n\n" +
    "- An option overrides its variable; an empty variable counts as not set.\n" +
    "- Defaults are in parentheses.\n" +
    "- Whatever is secret (keys, tokens, join URLs) has a variable, since every user of a machine can read the command lines of " +
    "all\n  processes.\n" +
    "- A wrong value ends a program before it does anything, with exit code 2 and a sentence that names the option.\n" +
    "- A `LORAFLEET_…` variable that nothing reads is found by `deno task doctor` ([doctor](doctor.md)).\n" +
    "- A job's own fields are in [fields](fields.md); what is fixed is in [limits](limits.md).\n",
  ];
  for (const [group, programs] of Object.entries(GROUPS)) {
    parts.push(`## ${group}\n`);
    for (const { task, usage, page } of programs) {
      const more = page === "../README.md" ? "" : ` ([${page.replace(".md", "")}](${page}))`;
      parts.push(
        `### \`deno task ${task}\`\n\n${
          sentence(tasks[task]!.description)
        }${more}.\n\n\`\`\`text\n${usage.trim()}\n\`\`\`\n`,
      );
    }
  }
  return [...parts, await variablesTable(), permissionsTable(permissions)].join("\n");
}

function sentence(text: string): string {
  return text.replace(/^\w/, (letter) => letter.toUpperCase());
}

async function variablesTable(): Promise<string> {
  const lines = [
    "## All variables\n\n| variable | what it is | named in the help of |\n| --- | --- | --- |",
  ];
  for (const variable of (await variablesRead()).keys()) {
    const namedBy = PROGRAMS.filter(({ usage }) => new RegExp(`(?<!\\w)${variable}(?!\\w)`).test(usage));
    const options = new Set(namedBy.flatMap(({ usage }) => optionOf(usage, variable) ?? []));
    // Takes any variable.
    options.delete("--set");
    const what = SENTENCES[variable] ?? [...options].map((option) => `\`${option}\``).join(", ");
    lines.push(`| \`${variable}\` | ${what} | ${namedBy.map(({ task }) => `\`${task}\``).join(", ")} |`);
  }
  lines.push(
    "\nDeno reads variables of its own, such as `OTEL_DENO` and `OTEL_…` for traces ([metrics](metrics.md)), `DENO_DIR`,\n" +
      "`DENO_TLS_CA_STORE`, `HTTPS_PROXY` and `NO_PROXY`; GPU drivers read theirs. In\n" +
      "[compose.yaml](../deploy/containers/compose.yaml) `LORAFLEET_COORDINATOR_IMAGE` and `LORAFLEET_WORKER_IMAGE` name images.\n",
  );
  return lines.join("\n");
}

function permissionsTable(permissions: DenoConfig["permissions"]): string {
  const sets = Object.keys(permissions);
  const kinds = [...new Set(sets.flatMap((set) => Object.keys(permissions[set]!)))];
  const cell = (given: true | readonly string[] | undefined) =>
    given === true ? "all" : given === undefined ? "none" : given.map((name) => `\`${name}\``).join(", ");
  return [
    "## Permissions\n\nThe sets of Deno's permissions in `deno.json` with which these programs run, whoever starts them\n" +
    "([why](security.md#denos-permissions)). The other programs start these and have all permissions.\n",
    `| permission | ${sets.map((set) => `\`${set}\``).join(" | ")} |`,
    `| --- |${" --- |".repeat(sets.length)}`,
    ...kinds.map((kind) => `| ${kind} | ${sets.map((set) => cell(permissions[set]![kind])).join(" | ")} |`),
    "",
  ].join("\n");
}
