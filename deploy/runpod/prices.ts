/** Asks RunPod what can be rented now. */
import { RunPodApi } from "./api/runpod_api.ts";
import type { Connection } from "./api/connection.ts";
import { chooseOffers, type Offer, offersOf } from "./offers.ts";
import type { Cloud } from "./api/schemas.ts";
import { spotPrices } from "./api/spot.ts";

export interface Wanted {
  /** Names of GPUs, the favourite first. */
  readonly gpus: readonly string[];
  readonly clouds: readonly Cloud[];
  readonly isSpot: boolean;
  /** Dollars per GPU hour. */
  readonly maxPrice: number | null;
}

/** What may be rented, in order, and everything that there is. Throws as `chooseOffers`. */
export async function findOffers(
  connection: Connection,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<{ readonly offers: readonly Offer[]; readonly all: readonly Offer[] }> {
  const api = new RunPodApi(connection, signal);
  const all: Offer[] = [];
  for (const cloud of wanted.clouds) {
    const bids = wanted.isSpot ? await spotPrices(connection, cloud, signal) : null;
    all.push(...offersOf(await api.gpus(cloud), cloud, bids));
  }
  return { offers: chooseOffers(all, wanted.gpus, wanted.maxPrice), all };
}
