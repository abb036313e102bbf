/** The memory of each GPU that was probed, in a file: a probe takes seconds, and a card does not change. */
import { z } from "zod";
import { writeFilesAtomically } from "../../../shared/checkpoint/atomic_file.ts";
import type { Clock } from "../../../shared/clock.ts";

const cardSchema = z.object({
  bytes: z.int().positive(),
  isSystemMemory: z.boolean(),
  measuredAt: z.number(),
  /** The probe had said more: a plan within it could not be allocated. */
  isCorrected: z.boolean(),
});
const fileSchema = z.object({ version: z.literal(1), cards: z.record(z.string(), cardSchema) });

export type CardMemory = z.infer<typeof cardSchema>;

const HOUR_MS = 3600_000;
/** Another program may have used the card during a probe, and drivers change. */
const VALID_MS = 7 * 24 * HOUR_MS;
/** What was missing may have been another program's for a while. */
const CORRECTED_VALID_MS = HOUR_MS;

export class CardMemories {
  readonly #path: string;
  readonly #clock: Pick<Clock, "now">;

  /** @param path of the JSON file; it need not exist */
  constructor(path: string, clock: Pick<Clock, "now">) {
    this.#path = path;
    this.#clock = clock;
  }

  /** What is known of a card; null for an old entry, none, or a file that is missing or damaged: probed again. */
  async read(card: string): Promise<CardMemory | null> {
    const entry = (await this.#cards())[card];
    if (entry === undefined) return null;
    const age = this.#clock.now() - entry.measuredAt;
    return age >= 0 && age < (entry.isCorrected ? CORRECTED_VALID_MS : VALID_MS) ? entry : null;
  }

  /** @throws LoraFleetError `storage` */
  async write(card: string, memory: Omit<CardMemory, "measuredAt">): Promise<void> {
    await this.#replace({ ...await this.#cards(), [card]: { ...memory, measuredAt: this.#clock.now() } });
  }

  /** @throws LoraFleetError `storage` */
  async forget(card: string): Promise<void> {
    const { [card]: known, ...rest } = await this.#cards();
    if (known !== undefined) await this.#replace(rest);
  }

  async #cards(): Promise<Record<string, CardMemory>> {
    const text = await Deno.readTextFile(this.#path).catch(() => "");
    try {
      return fileSchema.parse(JSON.parse(text)).cards;
    } catch {
      return {};
    }
  }

  async #replace(cards: Record<string, CardMemory>): Promise<void> {
    const text = JSON.stringify({ version: 1, cards }, null, 2) + "\n";
    await writeFilesAtomically([{ path: this.#path, parts: [new TextEncoder().encode(text)] }]);
  }
}
