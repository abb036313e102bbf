/**
 * Interruptible pods. REST v2 has no field for them (v1, which had one, is retired); the GraphQL API has `podRentInterruptable`:
 * https://graphql-spec.runpod.io. Once rented, such a pod is a pod of v2 like any other.
 */
import { z } from "zod";
import { LoraFleetError } from "../../../shared/errors.ts";
import { type Connection, detailOf, type Refusal, request } from "./connection.ts";
import type { Cloud, CreatePod } from "./schemas.ts";

const RENT = `mutation Rent($input: PodRentInterruptableInput!) {
  podRentInterruptable(input: $input) { id costPerHr }
}`;
const PRICES = `query Prices($secure: Boolean!) {
  gpuTypes { id lowestPrice(input: {gpuCount: 1, secureCloud: $secure}) { minimumBidPrice } }
}`;

const answerSchema = z.object({
  data: z.unknown().optional(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});
const rentedSchema = z.object({
  podRentInterruptable: z.object({ id: z.string(), costPerHr: z.number() }).nullable(),
});
const pricesSchema = z.object({
  gpuTypes: z.array(z.object({
    id: z.string(),
    lowestPrice: z.object({ minimumBidPrice: z.number().nullable() }).nullable(),
  })),
});

/** Dollars per hour of one GPU by its id, of those that can be had. */
export async function spotPrices(
  connection: Connection,
  cloud: Cloud,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const { data, refusal } = await ask(connection, PRICES, { secure: cloud === "SECURE" }, true, signal);
  if (refusal !== null) {
    throw new LoraFleetError("invalid_request", `RunPod shows no spot prices: ${refusal}`);
  }
  const { gpuTypes } = pricesSchema.parse(data);
  return new Map(gpuTypes.flatMap(({ id, lowestPrice }) => {
    const price = lowestPrice?.minimumBidPrice ?? 0;
    return price > 0 ? [[id, price]] : [];
  }));
}

export interface SpotRented {
  readonly kind: "created";
  readonly pod: { readonly id: string; readonly cost: number };
}

/** @param bid dollars per hour. Throws as `RunPodApi.create`. */
export async function rentSpot(
  connection: Connection,
  { name, image, cloud, gpu, disk, env, dataCenterIds, mounts, registry }: CreatePod,
  bid: number,
  signal: AbortSignal,
): Promise<SpotRented | Refusal> {
  const input = {
    ...{ bidPerGpu: bid, cloudType: cloud, gpuCount: gpu.count, gpuTypeId: gpu.id, name, imageName: image },
    ...{
      containerDiskInGb: disk,
      volumeInGb: 0,
      minVcpuCount: 1,
      minMemoryInGb: 1,
      dockerArgs: "",
      ports: "",
    },
    env: Object.entries(env).map(([key, value]) => ({ key, value })),
    ...(dataCenterIds?.[0] === undefined ? {} : { dataCenterId: dataCenterIds[0] }),
    ...(mounts === undefined
      ? {}
      : { networkVolumeId: mounts.network[0].volumeId, volumeMountPath: mounts.network[0].path }),
    ...(registry === undefined ? {} : { containerRegistryAuthId: registry }),
  };
  const { data, refusal } = await ask(connection, RENT, { input }, false, signal);
  if (refusal !== null) return { kind: "refused", detail: refusal };
  const { podRentInterruptable: rented } = rentedSchema.parse(data);
  if (rented === null) return { kind: "refused", detail: "no spot capacity" };
  return { kind: "created", pod: { id: rented.id, cost: rented.costPerHr } };
}

async function ask(
  connection: Connection,
  query: string,
  variables: Record<string, unknown>,
  isRepeatable: boolean,
  signal: AbortSignal,
): Promise<{ readonly data: unknown; readonly refusal: string | null }> {
  const body = { query, variables };
  const response = await request(
    connection,
    { method: "POST", path: "/graphql", body, isRepeatable },
    signal,
  );
  if (!response.ok) return { data: null, refusal: await detailOf(response) };
  const { data, errors = [] } = answerSchema.parse(await response.json());
  const messages = errors.map(({ message }) => message).join("; ");
  if (/unauthorized|not authenticated/i.test(messages)) {
    throw new LoraFleetError("unauthorized", `RunPod refuses the key in RUNPOD_API_KEY (${messages})`);
  }
  return { data, refusal: errors.length > 0 ? messages : null };
}
