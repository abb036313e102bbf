/** One line for each event, for the person at the machine. */
export type { Log, LogLevel } from "../shared/log.ts";
