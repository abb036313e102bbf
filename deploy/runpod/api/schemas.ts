/**
 * The part of RunPod's REST API v2 that is used here: https://docs.runpod.io/api-reference-v2, whose OpenAPI document is at
 * https://api.runpod.io/v2/openapi.json. Answers may have more fields than these; requests may not.
 */
import { z } from "zod";

export const cloudSchema = z.enum(["SECURE", "COMMUNITY"]);
export type Cloud = z.output<typeof cloudSchema>;

export const podSchema = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(["PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED"]),
  env: z.record(z.string(), z.string()),
  gpu: z.object({ id: z.string() }).optional(),
  cloud: cloudSchema,
  dataCenterId: z.string().nullable(),
  /** Dollars per hour; 0 of a stopped pod. */
  cost: z.number(),
  runtime: z.object({
    uptime: z.number().optional(),
    gpus: z.array(z.object({ util: z.number().optional() })).optional(),
  }).nullable(),
  createdAt: z.string(),
});
export type Pod = z.output<typeof podSchema>;

export const podsSchema = z.object({ pods: z.array(podSchema) });

export const availabilitySchema = z.enum(["NONE", "LOW", "MEDIUM", "HIGH"]);
export type Availability = z.output<typeof availabilitySchema>;

const gpuTypeSchema = z.object({
  id: z.string(),
  name: z.string(),
  /** GB. */
  memory: z.number(),
  secure: z.boolean(),
  community: z.boolean(),
  /** Dollars per hour of one GPU. */
  price: z.object({ secure: z.number(), community: z.number() }),
  availability: availabilitySchema.optional(),
});
export type GpuType = z.output<typeof gpuTypeSchema>;

export const gpusSchema = z.object({ gpus: z.array(gpuTypeSchema) });

export const volumeSchema = z.object({ id: z.string(), name: z.string(), dataCenter: z.string() });
export type Volume = z.output<typeof volumeSchema>;

export const problemSchema = z.object({ detail: z.string(), errors: z.array(z.string()).optional() });

export const logLineSchema = z.object({ line: z.string(), ts: z.string() });
export type LogLine = z.output<typeof logLineSchema>;

/** The body of `POST /v2/pods`. */
export interface CreatePod {
  readonly name: string;
  readonly image: string;
  readonly cloud: Cloud;
  readonly gpu: { readonly id: string; readonly count: 1 };
  /** GB. */
  readonly disk: number;
  readonly env: Readonly<Record<string, string>>;
  readonly dataCenterIds?: readonly string[];
  readonly mounts?: { readonly network: readonly [{ readonly volumeId: string; readonly path: string }] };
  readonly registry?: string;
}
