import { setImmediate } from "node:timers";

/**
 * Lets the event loop turn once, so that long work on the main thread delays neither heartbeats nor requests. To await a read is
 * not enough: what the system has in memory is there at once, and the work goes on in the same turn.
 */
export const turnOfEventLoop = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
