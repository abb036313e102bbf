import { setImmediate } from "node:timers";

/** Lets the event loop turn once, so that long work on the main thread does not delay heartbeats. */
export const turnOfEventLoop = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
