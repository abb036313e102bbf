/** The parts of bench:gpu: what each runs, and how long it may take. */
import { fromFileUrl, join } from "@std/path";
import { configNamed } from "../../lens/models.ts";

export const ROOT = fromFileUrl(new URL("../../..", import.meta.url)).replace(/\/$/, "");
const here = (name: string) => join(ROOT, "tests/bench/gpu", name);
const DEMO_MODEL = join(ROOT, "deploy/demo/assets/base");

export interface PartOptions {
  readonly out: string;
  readonly python: string;
  /** Small shapes, on any GPU: a trial of the script. */
  readonly isTiny: boolean;
}

export interface Part {
  readonly name: string;
  /** For the summary. */
  readonly title: string;
  readonly limitSeconds: number;
  /** Left out: this Deno. */
  readonly command?: string;
  readonly args: readonly string[];
}

interface Shape {
  readonly name: string;
  readonly model: string;
  readonly tokens: number;
  readonly loraR: number;
  readonly microBatches: number;
  /** Of our step, which compiles its kernels within. */
  readonly limitSeconds: number;
  readonly peersSeconds: number;
}

/** LoRA on all linear layers at r 64 and 1 × 2048 tokens, as the peers' published runs have it. */
const SHAPES: readonly Shape[] = [
  {
    name: "1b",
    model: "tinyllama-1b",
    tokens: 2048,
    loraR: 64,
    microBatches: 8,
    limitSeconds: 90,
    peersSeconds: 80,
  },
  {
    name: "7b",
    model: "llama2-7b",
    tokens: 2048,
    loraR: 64,
    microBatches: 4,
    limitSeconds: 130,
    peersSeconds: 110,
  },
];
const TINY_SHAPES: readonly Shape[] = [
  {
    name: "tiny",
    model: DEMO_MODEL,
    tokens: 64,
    loraR: 4,
    microBatches: 1,
    limitSeconds: 60,
    peersSeconds: 60,
  },
];

export const shapesOf = (isTiny: boolean) => isTiny ? TINY_SHAPES : SHAPES;
export const configPath = (out: string, shape: string) => join(out, `config_${shape}.json`);
export const jsonPath = (out: string, part: string) => join(out, `${part}.json`);

/** Nothing is fetched: what is imported lies in Deno's cache. */
const DENO = ["run", "-A", "-q", "--cached-only", "--no-check"];

/** In the order in which they run: what is needed most comes first. */
export async function partsOf(options: PartOptions): Promise<Part[]> {
  const { out, isTiny } = options;
  const tests = await testsBelow(join(ROOT, isTiny ? "worker/kernels/norm" : "worker/kernels"));
  const steps = isTiny ? ["--steps", "2"] : [];
  const backend = isTiny ? ["--backend", "null"] : [];
  const shapes = shapesOf(isTiny);
  return [
    {
      ...{ name: "contracts", title: "all kernels beside their references", limitSeconds: 130 },
      args: ["test", "-A", "--cached-only", "--no-check", ...tests],
    },
    ...shapes.map((shape) => stepPart(shape, options)),
    ...shapes.map((shape) => peersPart(shape, options)),
    {
      ...{ name: "dawn", title: "Dawn: subgroup matrices", limitSeconds: 20 },
      args: [...DENO, "--no-config", "--no-lock", here("dawn_probe.ts"), ...backend],
    },
    {
      ...{ name: "demo", title: "the demo", limitSeconds: 120 },
      args: [
        ...DENO,
        join(ROOT, "deploy/demo/main.ts"),
        "--workers",
        "1",
        ...steps,
        "--out",
        join(out, "demo"),
      ],
    },
  ];
}

function stepPart(shape: Shape, { out, isTiny }: PartOptions): Part {
  const { name, model, tokens, loraR, microBatches, limitSeconds } = shape;
  const part = `step_${name}`;
  const tiny = isTiny ? ["--allow-cpu", "--memory-budget-mib", "1024", "--card", "h200"] : [];
  return {
    ...{ name: part, title: `a step of ${shapeText(shape)}`, limitSeconds },
    args: [
      ...[...DENO, here("step.ts"), "--model", model, "--tokens", `${tokens}`, "--lora-r", `${loraR}`],
      ...["--micro-batches", `${microBatches}`, "--seconds", secondsFor(limitSeconds)],
      ...["--json", jsonPath(out, part), ...tiny],
    ],
  };
}

function peersPart(shape: Shape, { out, python }: PartOptions): Part {
  const { name, tokens, loraR, microBatches, peersSeconds: limitSeconds } = shape;
  const part = `peers_${name}`;
  return {
    ...{ name: part, title: `PyTorch, PEFT and bitsandbytes, ${shapeText(shape)}`, limitSeconds },
    command: python,
    args: [
      ...[here("peers.py"), configPath(out, name), "--tokens", `${tokens}`, "--lora-r", `${loraR}`],
      ...["--micro-batches", `${microBatches}`, "--seconds", secondsFor(limitSeconds)],
      ...["--json", jsonPath(out, part)],
    ],
  };
}

/** A part measures less rather than being ended: one micro-batch more must fit into what is left. */
const secondsFor = (limitSeconds: number) => String(Math.round(limitSeconds / 2));

function shapeText({ model, tokens, loraR }: Shape): string {
  return `${model.slice(model.lastIndexOf("/") + 1)}, 1 × ${tokens} tokens, r ${loraR}`;
}

/** The peers' models are made from the same fields. */
export async function writeConfigs(out: string, isTiny: boolean): Promise<void> {
  for (const { name, model } of shapesOf(isTiny)) {
    const config = configNamed(model) ?? JSON.parse(await Deno.readTextFile(join(model, "config.json")));
    await Deno.writeTextFile(configPath(out, name), JSON.stringify(config));
  }
}

async function testsBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await testsBelow(join(folder, name)));
    else if (name.endsWith("_gpu_test.ts")) found.push(join(folder, name));
  }
  return found.sort();
}
