/** What the engine asks a thread of starts for, and what it answers. */
import type { Factors } from "../../../shared/checkpoint/merge/pissa_halves.ts";
import { type Checkpoint, openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import type { AdapterModule } from "../../../shared/job/adapter_modules.ts";
import { startOf } from "./start.ts";

export interface StartCall {
  readonly modelFolder: string;
  readonly module: AdapterModule;
  readonly iterations: number | null;
}

export type StartAnswer = { readonly factors: Factors } | { readonly failure: string };

/** Reads one layer's weight and takes it apart. Opens the base model once. */
export function createStarts(): (call: StartCall) => Promise<Factors> {
  let opened: { readonly folder: string; readonly checkpoint: Checkpoint } | null = null;
  return async ({ modelFolder, module, iterations }) => {
    if (opened?.folder !== modelFolder) {
      opened = { folder: modelFolder, checkpoint: await openCheckpoint(modelFolder) };
    }
    const { name, outFeatures: rows, inFeatures: columns, rank, scale } = module;
    const values = await opened.checkpoint.readTensor(`${name}.weight`, [rows, columns]);
    return startOf({ rows, columns, values }, { rank, scale, iterations });
  };
}
