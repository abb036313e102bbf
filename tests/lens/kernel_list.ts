/** `--kernels`: each variant and shape of a step once, the most expensive first. */
import type { LensCard } from "./cards.ts";
import { bytesOf } from "./costs/command_cost.ts";
import { secondsOf } from "./predict.ts";
import type { PricedCommand } from "./priced_command.ts";
import type { StepRecord } from "./step.ts";

export interface ListedKernel {
  readonly kernel: string;
  readonly params: Readonly<Record<string, number>>;
  readonly groups: readonly number[];
  readonly times: number;
  /** Of all together, predicted. */
  readonly seconds: number;
  /** Of one. */
  readonly flops: number;
  readonly bytes: number;
}

/** Params that are sizes: neither keys of random numbers nor factors. */
function shapeOf(params: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(params).filter(([name, value]) =>
      Number.isInteger(value) && !/^(key|threshold|alpha|sign|nested_offset|first)/.test(name)
    ),
  );
}

function identify({ command, cost }: PricedCommand): Pick<ListedKernel, "kernel" | "params" | "groups"> {
  if (command.kind !== "dispatch") {
    return { kernel: command.kind, params: { bytes: bytesOf(cost) }, groups: [] };
  }
  return { kernel: command.kernel, params: shapeOf(command.params), groups: command.groups };
}

export function listKernels({ submits }: Pick<StepRecord, "submits">, card: LensCard): ListedKernel[] {
  const alike = Object.groupBy(submits.flat(), (priced) => JSON.stringify(identify(priced)));
  const kernels = Object.values(alike).map((commands) => {
    const [one] = commands!;
    return {
      ...identify(one!),
      times: commands!.length,
      seconds: commands!.reduce((sum, command) => sum + secondsOf(command, card), 0),
      flops: one!.cost.flops,
      bytes: bytesOf(one!.cost),
    };
  });
  return kernels.toSorted((a, b) => b.seconds - a.seconds);
}

const line = (cells: readonly string[], label: string) =>
  `${cells.map((cell, i) => cell.padStart(i === 0 ? 8 : 12)).join("")}  ${label}`;

export function kernelLines(kernels: readonly ListedKernel[]): string[] {
  const rows = kernels.map(({ kernel, params, groups, times, seconds, flops, bytes }) => {
    const numbers = [1e3 * seconds, 1e6 * seconds / times, flops / 1e9, bytes / 1e6].map((value) =>
      value.toFixed(2)
    );
    const sizes = Object.entries(params).map(([name, value]) => `${name} ${value}`).join(", ");
    const grid = groups.length === 0
      ? ""
      : `; ${groups.filter((size, i) => size > 1 || i === 0).join("×")} groups`;
    return line([String(times), ...numbers], `${kernel} (${sizes}${grid})`);
  });
  return [line(["times", "ms in all", "µs each", "GFLOP", "MB"], "kernel"), ...rows];
}
