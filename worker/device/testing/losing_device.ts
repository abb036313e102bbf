/** Real devices that get lost: destroyed, as far as WebGPU can tell the same as a driver's reset. */
import { openDevice } from "../open_device.ts";

export interface Losses {
  /** The submit, counted over all devices from 1, with which its device is lost. */
  readonly loseAtSubmit?: number;
  /** The submit that fails with an internal error. */
  readonly failAtSubmit?: number;
  /** What the device says it is; left out, the truth. */
  readonly isCpu?: boolean;
}

export interface LosingDevices {
  readonly open: typeof openDevice;
  /** So far. */
  readonly submits: () => number;
  readonly opened: () => number;
  /** Loses the newest device now. */
  readonly lose: () => void;
  /** From now on: the next submits with which devices are lost, in how many submits each. */
  readonly loseAgain: (atSubmit: number) => void;
}

export function losingDevice({ loseAtSubmit = Infinity, failAtSubmit, isCpu }: Losses = {}): LosingDevices {
  let [submits, opened, loseAt] = [0, 0, loseAtSubmit];
  let newest: GPUDevice | null = null;
  const open: typeof openDevice = async (options) => {
    const found = await openDevice(options);
    const { device } = found;
    newest = device;
    opened++;
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    let failure: GPUError | null = null;
    queue.submit = (buffers) => {
      submits++;
      if (submits === failAtSubmit) failure = { message: "the driver gives up" };
      submit(buffers);
      if (submits >= loseAt) {
        loseAt = Infinity;
        device.destroy();
      }
    };
    injectErrors(device, () => {
      const taken = failure;
      failure = null;
      return taken;
    });
    return { ...found, ...isCpu !== undefined && { isCpu } };
  };
  return {
    open,
    submits: () => submits,
    opened: () => opened,
    lose: () => newest!.destroy(),
    loseAgain: (atSubmit) => loseAt = atSubmit,
  };
}

/** Makes the scope of internal errors return what `take` returns. */
function injectErrors(device: GPUDevice, take: () => GPUError | null): void {
  const push = device.pushErrorScope.bind(device);
  const pop = device.popErrorScope.bind(device);
  const scopes: GPUErrorFilter[] = [];
  device.pushErrorScope = (filter) => {
    scopes.push(filter);
    push(filter);
  };
  device.popErrorScope = async () => {
    const filter = scopes.pop();
    return await pop() ?? (filter === "internal" ? take() : null);
  };
}
