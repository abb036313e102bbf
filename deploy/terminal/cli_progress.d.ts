/** What we use of cli-progress, which comes without types. */
export class SingleBar {
  constructor(options: {
    format: string;
    hideCursor?: boolean;
    clearOnComplete?: boolean;
    stopOnComplete?: boolean;
    stream?: unknown;
  });
  start(total: number, value: number, payload: Record<string, string>): void;
  update(value: number, payload: Record<string, string>): void;
  stop(): void;
}
