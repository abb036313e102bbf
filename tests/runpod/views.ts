/** How RunPod shows GPUs and pods. */
import type { TestPod } from "./test_pods.ts";

export interface TestGpu {
  readonly id: string;
  readonly name: string;
  readonly memory: number;
  readonly secure: number;
  readonly community: number;
  /** Lowest bid; null: no spot pods of this kind. */
  readonly spot: number | null;
}

export const GPUS: readonly TestGpu[] = [
  { id: "NVIDIA GeForce RTX 3090", name: "RTX 3090", memory: 24, secure: 0.46, community: 0.22, spot: 0.19 },
  { id: "NVIDIA GeForce RTX 4090", name: "RTX 4090", memory: 24, secure: 0.69, community: 0.34, spot: 0.29 },
  { id: "NVIDIA A40", name: "A40", memory: 48, secure: 0.4, community: 0.35, spot: null },
];

/** @param isFree null: not asked for */
export function viewGpu({ id, name, memory, secure, community }: TestGpu, isFree: boolean | null): object {
  return {
    ...{ id, name, memory, pool: null, manufacturer: "NVIDIA", secure: true, community: true },
    ...{ price: { secure, community }, maxCount: { secure: 8, community: 4 } },
    ...(isFree === null ? {} : { availability: isFree ? "HIGH" : "NONE" }),
  };
}

export function viewPod(pod: TestPod, now: number): object {
  const isRunning = pod.status === "RUNNING";
  return {
    ...{
      id: pod.id,
      name: pod.name,
      status: pod.status,
      actions: ["stop", "terminate"],
      image: pod.image,
      args: "",
    },
    ...{ disk: pod.disk, mounts: pod.mounts, ports: [], env: pod.env, registry: null, cloud: pod.cloud },
    ...{ gpu: { id: pod.gpuId, count: 1 }, dataCenterId: "US-KS-2", cudaVersion: "12.8", template: null },
    ...{ ssh: { proxy: null, direct: null }, locked: false, globalNetworking: { enabled: false } },
    cost: pod.stoppedAt === null ? pod.dollarsPerHour : 0,
    runtime: isRunning
      ? { uptime: Math.floor((now - pod.createdAt) / 1000), gpus: [{ util: 94, memoryUtil: 50 }] }
      : null,
    createdAt: new Date(pod.createdAt).toISOString(),
    startedAt: isRunning ? new Date(pod.createdAt).toISOString() : null,
  };
}
