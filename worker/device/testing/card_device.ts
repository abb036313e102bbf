/** The machine's GPU as a graphics card: whatever a worker does on real cards alone happens on a driver that computes on the CPU. */
import { openDevice } from "../open_device.ts";

/** Kernels, waits, notes and budgets are a card's: none of them asks WebGPU again what the adapter is. */
export const AS_CARD = { isCpu: false, subgroupSize: 0 } as const;

/** @param hasClock false: a card whose driver has no timestamps that WebGPU can read */
export function cardDevice({ hasClock = true }: { readonly hasClock?: boolean } = {}): typeof openDevice {
  return async (options) => {
    const opened = await openDevice({ ...options, allowCpu: true });
    if (!hasClock) Object.defineProperty(opened.device, "features", { value: new Set<string>() });
    return { ...opened, ...AS_CARD };
  };
}
