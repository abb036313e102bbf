/** What bench:gpu found, as Markdown. */
import type { StepMeasured } from "./step.ts";

export interface PartOutcome {
  readonly name: string;
  readonly title: string;
  readonly outcome: "done" | "failed" | "out of time" | "not begun: no time left";
  readonly seconds: number;
  /** Of those that failed: the end of their output. */
  readonly lastLine: string;
}

/** As peers.py writes it. */
export interface PeersMeasured {
  readonly device: string;
  readonly base: string;
  readonly torch: string;
  readonly micro_batch_s: number;
  readonly tokens_per_second: number;
  readonly peak_bytes: number | null;
}

export interface ShapeResult {
  readonly name: string;
  /** Null: the part has none. */
  readonly ours: StepMeasured | null;
  readonly peers: PeersMeasured | null;
}

const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");
const short = (value: number | null | undefined) =>
  value === null || value === undefined || !Number.isFinite(value)
    ? ""
    : String(Number(value.toPrecision(3)));
const gib = (bytes: number | null | undefined) =>
  bytes === null || bytes === undefined ? "" : (bytes / 2 ** 30).toFixed(2);

export function summaryText(
  machine: string,
  parts: readonly PartOutcome[],
  shapes: readonly ShapeResult[],
): string {
  return [
    "# bench:gpu",
    machine,
    table(
      ["part", "", "s", "raw output"],
      parts.map(({ name, title, outcome, seconds, lastLine }) => [
        title,
        lastLine === "" ? outcome : `${outcome}: ${lastLine.replaceAll("|", "\\|")}`,
        seconds.toFixed(0),
        `${name}.txt`,
      ]),
    ),
    ...shapes.flatMap(shapeText),
  ].join("\n\n") + "\n";
}

function shapeText({ name, ours, peers }: ShapeResult): string[] {
  if (ours === null && peers === null) return [];
  const tflops = ours === null || ours.flops === 0 ? null : ours.flops / 1e12 / ours.microBatchSeconds;
  const rows = [
    ...ours === null ? [] : [[
      `lorafleet on ${ours.gpu}`,
      ...[
        short(ours.microBatchSeconds),
        short(ours.tokensPerSecond),
        short(tflops),
        gib(ours.usedBytes ?? ours.allocatedBytes),
      ],
      "NF4",
    ]],
    ...peers === null ? [] : [[
      `PyTorch ${peers.torch} and PEFT on ${peers.device}`,
      ...[short(peers.micro_batch_s), short(peers.tokens_per_second), "", gib(peers.peak_bytes), peers.base],
    ]],
  ];
  const ratio = ours === null || peers === null
    ? []
    : [`lorafleet ÷ PyTorch: ${(ours.tokensPerSecond / peers.tokens_per_second).toFixed(2)}`];
  return [
    `## ${name}`,
    table(["", "s a micro-batch", "tokens/s", "TFLOP/s", "GiB", "base weights"], rows),
    ...ratio,
    ...ours?.kinds ? [kindsTable(ours)] : [],
  ];
}

function kindsTable({ kinds, card }: StepMeasured): string {
  return table(
    [
      "kernels",
      "dispatches",
      "ms",
      `predicted for ${card ?? "?"}, ms`,
      "measured ÷ predicted",
      "TFLOP/s",
      "GB/s",
    ],
    kinds!.map(({ kind, dispatches, seconds, predictedSeconds, flops, bytes }) => [
      kind,
      String(dispatches),
      short(1000 * seconds),
      short(predictedSeconds && 1000 * predictedSeconds),
      short(predictedSeconds && seconds / predictedSeconds),
      short(flops / 1e12 / seconds),
      short(bytes / 1e9 / seconds),
    ]),
  );
}
