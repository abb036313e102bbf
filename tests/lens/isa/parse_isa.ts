/** What RADV reports of a shader: registers, occupancy, and its instructions by kind, each weighted by the loops around it. */

export const INSTRUCTION_KINDS = ["fma", "valu", "lds", "memory", "scalar", "barrier", "wait"] as const;
export type InstructionKind = typeof INSTRUCTION_KINDS[number];
export type Mix = Readonly<Record<InstructionKind, number>>;

export interface ShaderReport {
  readonly vgprs: number;
  readonly sgprs: number;
  readonly spilledVgprs: number;
  readonly ldsBytes: number;
  /** Waves that one SIMD unit holds at once. */
  readonly wavesPerSimd: number;
  readonly instructions: number;
  /** Executed by a wave, with the given trips of each loop. */
  readonly executed: Mix;
}

interface Block {
  readonly number: number;
  readonly counts: Record<InstructionKind, number>;
  /** Blocks that it may jump to. */
  readonly targets: readonly number[];
}

/**
 * @param text of one shader, with `RADV_DEBUG=shaders,shaderstats`
 * @param trips of a loop at each depth, from the outermost on; 1 for deeper ones
 */
export function parseShader(text: string, trips: readonly number[]): ShaderReport {
  const statistic = (name: string) => {
    const value = new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new RangeError(`RADV's report has no "${name}"`);
    return Number(value);
  };
  return {
    vgprs: statistic("VGPRs"),
    sgprs: statistic("SGPRs"),
    spilledVgprs: statistic("Spilled VGPRs"),
    ldsBytes: statistic("LDS size"),
    wavesPerSimd: statistic("Subgroups per SIMD"),
    instructions: statistic("Instructions"),
    executed: executedMix(blocksOf(text), trips),
  };
}

/** Multiply–adds among all instructions that a wave issues; what only waits is none. */
export function fmaShare({ executed }: Pick<ShaderReport, "executed">): number {
  const issued = INSTRUCTION_KINDS.reduce((sum, kind) => kind === "wait" ? sum : sum + executed[kind], 0);
  return executed.fma / issued;
}

function blocksOf(text: string): Block[] {
  const blocks: { number: number; counts: Record<InstructionKind, number>; targets: number[] }[] = [];
  for (const line of text.slice(text.indexOf("\ndisasm:")).split("\n")) {
    const label = /^BB(\d+):/.exec(line)?.[1];
    if (label !== undefined) blocks.push({ number: Number(label), counts: emptyMix(), targets: [] });
    const opcode = /^\t([a-z][a-z0-9_]*)/.exec(line)?.[1];
    const block = blocks.at(-1);
    if (opcode === undefined || block === undefined) continue;
    block.counts[kindOf(opcode)]++;
    const target = /^\ts_c?branch\w*\s+BB(\d+)/.exec(line)?.[1];
    if (target !== undefined) block.targets.push(Number(target));
  }
  return blocks;
}

const emptyMix = (): Record<InstructionKind, number> =>
  Object.fromEntries(INSTRUCTION_KINDS.map((kind) => [kind, 0])) as Record<InstructionKind, number>;

function kindOf(opcode: string): InstructionKind {
  // Integer multiply–adds (v_mad_u32_u24) compute addresses.
  if (/^v_(pk_)?(fma|fmac|mad|mac)(ak|mk)?_f(16|32)/.test(opcode)) return "fma";
  if (opcode.startsWith("v_")) return "valu";
  if (opcode.startsWith("ds_")) return "lds";
  if (/^(buffer|global|flat|scratch)_/.test(opcode)) return "memory";
  if (/^s_(waitcnt|nop|clause|delay_alu)/.test(opcode)) return "wait";
  if (opcode === "s_barrier") return "barrier";
  return "scalar";
}

/** A jump to an earlier block, or to itself, is a loop over the blocks between. */
function executedMix(blocks: readonly Block[], trips: readonly number[]): Mix {
  const loops = blocks.flatMap(({ number: last, targets }) =>
    targets.filter((first) => first <= last).map((first) => ({ first, last }))
  );
  const sum = emptyMix();
  for (const { number, counts } of blocks) {
    const around = new Set(
      loops.filter(({ first, last }) => first <= number && number <= last).map(({ first }) => first),
    );
    const weight = trips.slice(0, around.size).reduce((product, count) => product * count, 1);
    for (const kind of INSTRUCTION_KINDS) sum[kind] += weight * counts[kind];
  }
  return sum;
}
