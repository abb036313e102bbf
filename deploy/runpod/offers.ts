/** Which GPUs can be rented, at what price: `--gpu`, `--cloud`, `--spot` and `--max-price` against RunPod's catalog. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { dollars } from "./dollars.ts";
import type { Availability, Cloud, GpuType } from "./api/schemas.ts";

export interface Offer {
  readonly gpuId: string;
  /** Short: "RTX 3090". */
  readonly gpu: string;
  readonly memoryGb: number;
  readonly cloud: Cloud;
  readonly isSpot: boolean;
  /** Dollars per hour of one GPU. */
  readonly price: number;
  readonly availability: Availability;
}

/** Everything that one cloud has, also what is sold out. @param bids of spot pods by GPU id; null: on demand */
export function offersOf(
  gpus: readonly GpuType[],
  cloud: Cloud,
  bids: ReadonlyMap<string, number> | null,
): Offer[] {
  return gpus.filter((gpu) => cloud === "SECURE" ? gpu.secure : gpu.community).map((gpu) => {
    const listed = cloud === "SECURE" ? gpu.price.secure : gpu.price.community;
    const price = bids === null ? listed : bids.get(gpu.id);
    return {
      ...{ gpuId: gpu.id, gpu: gpu.name, memoryGb: gpu.memory, cloud, isSpot: bids !== null },
      price: price ?? listed,
      availability: price === undefined ? "NONE" : gpu.availability ?? "NONE",
    };
  });
}

/**
 * Those that may be rented, in the order of `wanted`, the cheaper cloud first. Throws `usage` for a name that RunPod does not have,
 * `conflict` with what there is if nothing is left.
 * @param maxPrice dollars per GPU hour
 */
export function chooseOffers(
  all: readonly Offer[],
  wanted: readonly string[],
  maxPrice: number | null,
): Offer[] {
  const named = wanted.flatMap((name) => {
    const found = all.filter((offer) => isCalled(offer, name)).sort((a, b) => a.price - b.price);
    if (found.length === 0) throw unknownGpu(all, name);
    return found;
  });
  const chosen = named.filter((offer) => isFree(offer) && isAffordable(offer, maxPrice));
  if (chosen.length > 0) return chosen;
  const reasons = named.map((offer) =>
    `${describeOffer(offer)} ${isFree(offer) ? "is above --max-price" : "is sold out"}`
  );
  throw new LoraFleetError("conflict", `${reasons.join(", ")}; ${alternatives(all, maxPrice)}`);
}

/** What could be rented instead, for an error message. */
export function alternatives(all: readonly Offer[], maxPrice: number | null): string {
  const free = all.filter((offer) => isFree(offer) && isAffordable(offer, maxPrice)).sort((a, b) =>
    a.price - b.price
  );
  const below = maxPrice === null ? "" : ` at up to ${dollars(maxPrice)}/h`;
  if (free.length === 0) return `nothing is free${below}: try again later, or --cloud any`;
  const kinds = new Map(free.toReversed().map((offer) => [offer.gpu, offer]));
  const cheapest = [...kinds.values()].sort((a, b) => a.price - b.price).slice(0, 8);
  return `free${below}: ${cheapest.map(describeOffer).join(", ")}; --gpu takes several, with commas between`;
}

/** "RTX 3090 (24 GB, community, spot, $0.19/h)" */
export function describeOffer({ gpu, memoryGb, cloud, isSpot, price }: Offer): string {
  return `${gpu} (${memoryGb} GB, ${cloud.toLowerCase()}${isSpot ? ", spot" : ""}, ${dollars(price)}/h)`;
}

export function isAffordable({ price }: Pick<Offer, "price">, maxPrice: number | null): boolean {
  // RunPod's prices are 32 bit numbers: 0.46 arrives as 0.46000001.
  return maxPrice === null || price <= maxPrice + 1e-6;
}

function isFree({ availability }: Offer): boolean {
  return availability !== "NONE";
}

function isCalled({ gpu, gpuId }: Offer, name: string): boolean {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return [gpu, gpuId].some((known) => plain(known) === plain(name));
}

function unknownGpu(all: readonly Offer[], name: string): LoraFleetError {
  const names = [...new Set(all.map(({ gpu }) => gpu))].sort();
  return new LoraFleetError("usage", `--gpu has ${quote(name)}; RunPod has ${names.join(", ")}`, {
    param: "gpu",
  });
}
