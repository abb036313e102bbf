/** The real `Gpu` on a fake device. */
import { Gpu } from "../../../worker/device/gpu.ts";
import { FakeDevice, type FakeHardware } from "./fake_device.ts";
import type { SecondsOf } from "./fake_queue.ts";

/** Replaces `navigator.gpu` while the device is opened, and puts it back. */
export async function openFakeGpu(
  hardware: FakeHardware,
  secondsOf: SecondsOf = () => 1e-6,
): Promise<{ gpu: Gpu; device: FakeDevice }> {
  const device = new FakeDevice(hardware, secondsOf);
  const adapter = {
    info: { description: hardware.description, vendor: "", device: "", isFallbackAdapter: false },
    limits: hardware.limits,
    features: device.features,
    requestDevice: () => Promise.resolve(device),
  };
  const real = Object.getOwnPropertyDescriptor(navigator, "gpu");
  const fake = { requestAdapter: () => Promise.resolve(adapter) };
  Object.defineProperty(navigator, "gpu", { value: fake, configurable: true });
  try {
    return { gpu: await Gpu.open({ allowCpu: false }), device };
  } finally {
    if (real === undefined) delete (navigator as unknown as Record<string, unknown>)["gpu"];
    else Object.defineProperty(navigator, "gpu", real);
  }
}
