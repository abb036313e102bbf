/** One line for each event, for the person at the machine. */
export type LogLevel = "info" | "warn" | "error";
export type Log = (level: LogLevel, message: string) => void;
