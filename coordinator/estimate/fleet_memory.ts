/** Whether a job fits the workers that have joined, and the cards that people rent. */
import type { WorkerView } from "../fleet/fleet.ts";
import { readTransformerSpec } from "../base_models/model_check.ts";
import { readTableFormats } from "../base_models/table_formats.ts";
import { cardNamed, cardOf, CARDS, usableBytes } from "./cards.ts";
import { estimateMemory, type MemoryEstimate, type Sizes } from "./memory_estimate.ts";

export interface FleetMemory {
  readonly workers: readonly MemoryEstimate[];
  readonly cards: readonly MemoryEstimate[];
}

/**
 * @param folder of the base model; its config.json is enough
 * @param gpuGib memory of a card that the table lacks; null: none
 */
export async function estimateMemories(
  job: Sizes,
  folder: string,
  workers: readonly WorkerView[],
  gpuGib: number | null,
): Promise<FleetMemory> {
  const model = await readTransformerSpec(folder);
  const sizes = { ...job, tables: await readTableFormats(folder, model) };
  const cards = [...gpuGib === null ? [] : [cardOf(gpuGib)], ...CARDS];
  return {
    workers: workers.map(({ name, gpu }) => {
      const card = cardNamed(gpu);
      return estimateMemory(`${name}: ${gpu}`, model, sizes, card === null ? null : usableBytes(card));
    }),
    cards: cards.map((card) => estimateMemory(card.name, model, sizes, usableBytes(card))),
  };
}
