/**
 * The two operations of RunPod's GraphQL API that interruptible pods need, as far as they are public:
 * `PodRentInterruptableInput` and `LowestPrice` of https://graphql-spec.runpod.io. REST v2 has no field for them.
 */
import { Ajv2020 } from "ajv/dist/2020.js";

const text = { type: "string" };
const count = { type: "integer", minimum: 0 };
const podRentInterruptableInput = {
  type: "object",
  additionalProperties: false,
  required: ["gpuTypeId", "gpuCount", "bidPerGpu", "name", "imageName", "cloudType"],
  properties: {
    bidPerGpu: { type: "number", exclusiveMinimum: 0 },
    cloudType: { enum: ["ALL", "COMMUNITY", "SECURE"] },
    containerDiskInGb: count,
    containerRegistryAuthId: text,
    dataCenterId: text,
    dockerArgs: text,
    env: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: false,
        required: ["key", "value"],
        properties: { key: text, value: text },
      },
    },
    gpuCount: { type: "integer", minimum: 1 },
    gpuTypeId: text,
    imageName: text,
    minMemoryInGb: count,
    minVcpuCount: count,
    name: text,
    networkVolumeId: text,
    ports: text,
    startSsh: { type: "boolean" },
    volumeInGb: count,
    volumeKey: text,
    volumeMountPath: text,
  },
};
const ajv = new Ajv2020({ strict: false });

export interface SpotInput {
  readonly bidPerGpu: number;
  readonly cloudType: "ALL" | "COMMUNITY" | "SECURE";
  readonly gpuTypeId: string;
  readonly name: string;
  readonly imageName: string;
  readonly containerDiskInGb: number;
  readonly env: readonly { readonly key: string; readonly value: string }[];
  readonly networkVolumeId?: string;
  readonly volumeMountPath?: string;
}

/** The operation of a request. Throws as GraphQL would answer for a request it does not understand. */
export function readSpotRequest(body: unknown):
  | { readonly kind: "rent"; readonly input: SpotInput }
  | { readonly kind: "prices"; readonly isSecure: boolean } {
  const { query, variables } = body as {
    readonly query: string;
    readonly variables?: Record<string, unknown>;
  };
  if (/podRentInterruptable\(input: \$input\)/.test(query) && query.includes("PodRentInterruptableInput!")) {
    const input = variables?.["input"];
    if (ajv.validate(podRentInterruptableInput, input)) return { kind: "rent", input: input as SpotInput };
    throw new Error(`Variable "$input" got invalid value: ${ajv.errorsText()}`);
  }
  if (
    /gpuTypes/.test(query) && /lowestPrice\(input: \{ ?gpuCount: 1, secureCloud: \$secure ?\}\)/.test(query)
  ) {
    return { kind: "prices", isSecure: variables?.["secure"] === true };
  }
  throw new Error(`Cannot query: ${query}`);
}
