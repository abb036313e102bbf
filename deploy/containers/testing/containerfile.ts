/** A Containerfile as its instructions, for tests. */

export interface Instruction {
  /** In capitals. */
  readonly name: string;
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

export interface Stage {
  readonly name: string;
  /** Another stage's name, or an image with its arguments. */
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

/** Instructions with their continued lines joined, without comments. */
export function parseInstructions(text: string): readonly Instruction[] {
  const found: Instruction[] = [];
  let pending: { line: number; text: string } | null = null;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const joined: string = (pending === null ? "" : `${pending.text} `) + line.replace(/\\$/, "").trim();
    const at: number = pending?.line ?? index + 1;
    pending = { line: at, text: joined };
    if (line.endsWith("\\")) continue;
    const [name = "", ...rest] = joined.split(/\s+/);
    found.push({ name: name.toUpperCase(), text: rest.join(" "), line: at });
    pending = null;
  }
  return found;
}

/** In the order of the file; what comes before the first FROM belongs to none. */
export function parseStages(text: string): readonly Stage[] {
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const instruction of parseInstructions(text)) {
    const from = /^(\S+)(?: AS (\S+))?$/i.exec(instruction.text);
    if (instruction.name === "FROM") {
      stages.push({ from: from?.[1] ?? "", name: from?.[2] ?? "", instructions: [] });
    } else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

/** A stage's own instructions after those of the stages that it is from. */
export function inheritedBy(stages: readonly Stage[], name: string): readonly Instruction[] {
  const stage = stages.find((stage) => stage.name === name);
  if (stage === undefined) return [];
  return [...inheritedBy(stages, stage.from), ...stage.instructions];
}
